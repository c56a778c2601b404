// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// In the place of device_cuda.cpp where libtorch knows no CUDA.
#include "common/backends/device.hpp"
#include "common/settings/sentence.hpp"

#include <sdp/error.hpp>

namespace trainer {

c10::Device torch_device(compute_device)
{
    return c10::DeviceType::CPU;
}

void require_device(compute_device d)
{
    if (d == compute_device::cuda)
        fail<usage_error>("--device cuda: this program was built without CUDA, or with a libtorch that has none");
}

memory_meter& meter_this_thread(compute_device)
{
    return meter_this_thread();
}

void* use_own_stream(compute_device)
{
    return nullptr;
}

void synchronize(compute_device) { }

} // namespace trainer
