// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "common/settings/precision.hpp"

#include <ATen/autocast_mode.h>
#include <torch/version.h>

namespace trainer {

namespace {
    void set_autocast(bool enabled, compute_device d)
    {
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 4)
        const auto type = d == compute_device::cuda ? at::kCUDA : at::kCPU;
        at::autocast::set_autocast_dtype(type, at::kBFloat16);
        at::autocast::set_autocast_enabled(type, enabled);
#else
        if (d == compute_device::cuda) {
            at::autocast::set_autocast_gpu_dtype(at::kBFloat16);
            at::autocast::set_enabled(enabled);
        } else {
            at::autocast::set_autocast_cpu_dtype(at::kBFloat16);
            at::autocast::set_cpu_enabled(enabled);
        }
#endif
    }
} // namespace

mixed_precision::mixed_precision(precision p, compute_device d)
    : active_(p == precision::bf16)
    , device_(d)
{
    if (active_) {
        set_autocast(true, d);
        at::autocast::increment_nesting();
    }
}

mixed_precision::~mixed_precision()
{
    if (!active_)
        return;
    if (at::autocast::decrement_nesting() == 0) { // else an outer scope goes on
        at::autocast::clear_cache(); // of weights that have been converted
        set_autocast(false, device_);
    }
}

} // namespace trainer
