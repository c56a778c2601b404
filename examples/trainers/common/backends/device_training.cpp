// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Training on CUDA devices: workers that are threads and share one, ranks of NCCL with one each, or one worker alone.
#include "common/run/rehearsal.hpp"
#include "common/run/training.hpp"
#include "common/settings/sentence.hpp"

#include <sdp/comm/cuda_threads.hpp>
#include <sdp/comm/nccl.hpp>
#include <sdp/stream.hpp>

#include <c10/cuda/CUDAFunctions.h>

#include <filesystem>
#include <fstream>
#include <thread>

namespace trainer {

namespace {
    /// `silent_communicator` for gradients on a device.
    class silent_device_communicator : public silent_communicator {
    public:
        static constexpr sdp::memory_space space = sdp::memory_space::cuda;

        silent_device_communicator(int rank, int size, cudaStream_t host)
            : silent_communicator(rank, size)
            , executor_(std::make_shared<sdp::cuda::executor>(host))
        {
        }
        void exchange_on_stream(std::span<const sdp::outgoing>, std::span<const sdp::incoming> receives)
        {
            for (const auto& r : receives)
                sdp::cuda::check_call(cudaMemsetAsync(r.data, 0, r.bytes, executor_->stream()), "cudaMemsetAsync");
        }
        [[nodiscard]] sdp::cuda::executor& executor() noexcept { return *executor_; }
        void check() { sdp::cuda::check_call(cudaGetLastError(), "an earlier call"); }

    private:
        std::shared_ptr<sdp::cuda::executor> executor_;
    };

    /// The id that rank 0 makes and the others read from a file.
    ncclUniqueId meet(const options& o)
    {
        ncclUniqueId id;
        if (o.rank == 0) {
            if (std::filesystem::exists(o.rendezvous))
                fail("--rendezvous ", o.rendezvous, " exists already; expected a file of this run alone");
            if (const auto code = ncclGetUniqueId(&id); code != ncclSuccess)
                throw sdp::nccl_error(sentence("ncclGetUniqueId failed: ", ncclGetErrorString(code)), code);
            const auto part = o.rendezvous + ".part";
            if (!std::ofstream(part, std::ios::binary).write(id.internal, sizeof id.internal))
                fail("cannot write '", part, "'");
            std::filesystem::rename(part, o.rendezvous);
            return id;
        }
        for (int tries = 0; !std::filesystem::exists(o.rendezvous); ++tries) {
            if (tries == 600)
                fail("rank 0 has not written ", o.rendezvous, " within a minute");
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
        }
        if (!std::ifstream(o.rendezvous, std::ios::binary).read(id.internal, sizeof id.internal))
            fail("cannot read '", o.rendezvous, "'");
        return id;
    }

    cudaStream_t own_stream(const options& o)
    {
        if (o.comm == backend::nccl) // a device each, as far as there are so many
            c10::cuda::set_device(static_cast<c10::DeviceIndex>(o.rank % c10::cuda::device_count()));
        return static_cast<cudaStream_t>(use_own_stream(o.device));
    }
} // namespace

run_report train_on_device_threads(const job& work)
{
    run_report result;
    sdp::run_workers(work.o.workers, [&](sdp::thread_communicator group) {
        auto mine = train(work, sdp::cuda_thread_communicator(group, own_stream(work.o)));
        if (group.rank() == 0)
            result = std::move(mine);
    });
    return result;
}

run_report train_on_nccl(const job& work)
{
    const auto& o = work.o;
    auto comm = sdp::nccl_communicator::create(meet(o), o.rank, o.workers, own_stream(o));
    if (o.rank == 0) // all have read it
        std::filesystem::remove(o.rendezvous);
    return train(work, std::move(comm));
}

run_report rehearse_on_device(const job& work)
{
    return rehearse(work, silent_device_communicator(work.o.rank, work.o.workers, own_stream(work.o)));
}

} // namespace trainer
