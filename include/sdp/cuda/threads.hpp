// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Workers that are threads of one process and share one CUDA device: how one device rehearses many workers.
///
/// Each has a stream of its own. A message is one copy on the device, on the receiver's stream, behind the sender's work; threads
/// meet only to tell each other where it lies, so the device is never waited for.

#include <sdp/comm/stream.hpp>
#include <sdp/comm/threads.hpp>
#include <sdp/cuda/executor.hpp>

#include <chrono>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace sdp {

/// One worker of a thread group, whose gradients lie on the current device. Models `communicator`, `abortable` and
/// `stream_exchange`. Copies share one stream and belong to one thread.
class cuda_thread_communicator {
public:
    static constexpr memory_space space = memory_space::cuda;

    /// @param group the worker's place among the threads
    /// @param host the stream that the worker's own kernels run on
    /// @param limit for the wait on another thread
    /// @throws sdp::cuda_error without a device
    explicit cuda_thread_communicator(
        thread_communicator group, cudaStream_t host = nullptr, std::chrono::milliseconds limit = std::chrono::minutes(10))
        : state_(std::make_shared<state>(std::move(group), host, limit))
    {
    }

    [[nodiscard]] int rank() const { return state_->group.rank(); }
    [[nodiscard]] int size() const { return state_->group.size(); }
    /// For control data in host memory.
    [[nodiscard]] thread_exchange exchange(exchange_tag tag, std::span<const outgoing> sends, std::span<const incoming> receives)
    {
        return state_->group.exchange(tag, sends, receives);
    }

    void exchange_on_stream(std::span<const outgoing> sends, std::span<const incoming> receives)
    {
        auto& s = *state_;
        const auto stream = s.executor.stream();
        s.ready.record(stream);
        s.offers.resize(sends.size());
        s.taken.resize(receives.size());
        s.out.clear();
        s.in.clear();
        for (std::size_t i = 0; i < sends.size(); ++i) {
            s.offers[i] = {sends[i].data, &s.ready};
            s.out.push_back({sends[i].peer, &s.offers[i], sizeof(offer)});
        }
        for (std::size_t i = 0; i < receives.size(); ++i)
            s.in.push_back({receives[i].peer, &s.taken[i], sizeof(offer)});
        s.group.exchange(0, s.out, s.in).wait(s.limit);
        for (std::size_t i = 0; i < receives.size(); ++i) {
            s.taken[i].ready->hold_back(stream);
            cuda::check(cudaMemcpyAsync(receives[i].data, s.taken[i].data, receives[i].bytes, cudaMemcpyDeviceToDevice, stream),
                "cudaMemcpyAsync");
        }
        // The sender may not go on with its buffer before it is copied.
        s.copied.record(stream);
        const cuda::event* const mine = &s.copied;
        s.done.resize(sends.size());
        s.out.clear();
        s.in.clear();
        for (const auto& m : receives)
            s.out.push_back({m.peer, &mine, sizeof mine});
        for (std::size_t i = 0; i < sends.size(); ++i)
            s.in.push_back({sends[i].peer, &s.done[i], sizeof mine});
        s.group.exchange(0, s.out, s.in).wait(s.limit);
        for (const auto* e : s.done)
            e->hold_back(stream);
        s.meet(sends, receives); // only then may the event be recorded again
    }

    [[nodiscard]] cuda::executor& executor() { return state_->executor; }
    /// Errors of a device show in the next call.
    void check() { cuda::check(cudaGetLastError(), "an earlier call"); }
    void abort() { state_->group.abort(); }

private:
    struct offer {
        const void* data = nullptr;
        const cuda::event* ready = nullptr;
    };

    struct state {
        state(thread_communicator g, cudaStream_t host, std::chrono::milliseconds l)
            : group(std::move(g))
            , limit(l)
            , executor(host)
        {
        }

        /// Returns when the senders have waited for what was copied from them.
        void meet(std::span<const outgoing> sends, std::span<const incoming> receives)
        {
            static constexpr char here = 0;
            out.clear();
            in.clear();
            nods.resize(receives.size());
            for (const auto& m : sends)
                out.push_back({m.peer, &here, 1});
            for (std::size_t i = 0; i < receives.size(); ++i)
                in.push_back({receives[i].peer, &nods[i], 1});
            group.exchange(0, out, in).wait(limit);
        }

        thread_communicator group;
        std::chrono::milliseconds limit;
        cuda::executor executor;
        cuda::event ready, copied;
        // Kept between calls so that a step allocates nothing.
        std::vector<offer> offers, taken;
        std::vector<const cuda::event*> done;
        std::vector<char> nods;
        std::vector<outgoing> out;
        std::vector<incoming> in;
    };

    std::shared_ptr<state> state_;
};
static_assert(stream_exchange<cuda_thread_communicator> && abortable<cuda_thread_communicator>);

} // namespace sdp
