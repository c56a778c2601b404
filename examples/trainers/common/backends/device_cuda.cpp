// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "common/backends/device.hpp"
#include "common/settings/sentence.hpp"

#include <sdp/error.hpp>

#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>

namespace trainer {

namespace {
    /// Of the bytes asked for, not rounded up, as the host's meter counts them.
    auto requested_bytes()
    {
        return c10::cuda::CUDACachingAllocator::getDeviceStats(c10::cuda::current_device()).requested_bytes[0];
    }

    /// The figures of libtorch's allocator, which hands out pieces of what it has taken from the device.
    class allocator_meter final : public memory_meter {
    public:
        [[nodiscard]] std::int64_t live() const noexcept override { return requested_bytes().current; }
        [[nodiscard]] std::int64_t peak() const noexcept override { return requested_bytes().peak; }
        void reset_peak() noexcept override { c10::cuda::CUDACachingAllocator::resetPeakStats(c10::cuda::current_device()); }
    };
} // namespace

c10::Device torch_device(compute_device d)
{
    if (d == compute_device::cuda)
        return {c10::DeviceType::CUDA, c10::cuda::current_device()};
    return c10::DeviceType::CPU;
}

void require_device(compute_device d)
{
    if (d == compute_device::cuda && c10::cuda::device_count() < 1)
        fail("--device cuda: no CUDA device was found");
}

memory_meter& meter_this_thread(compute_device d)
{
    static allocator_meter device;
    if (d == compute_device::cuda)
        return device;
    return meter_this_thread();
}

void* use_own_stream(compute_device d)
{
    if (d != compute_device::cuda)
        return nullptr;
    const auto stream = c10::cuda::getStreamFromPool();
    c10::cuda::setCurrentCUDAStream(stream);
    return stream.stream();
}

void synchronize(compute_device d)
{
    if (d == compute_device::cuda)
        c10::cuda::device_synchronize();
}

} // namespace trainer
