// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Device of the tensors: the host, or a CUDA device where libtorch was built for one.

#include "common/backends/memory.hpp"
#include "common/settings/options.hpp"

#include <c10/core/Device.h>

namespace trainer {

[[nodiscard]] c10::Device torch_device(compute_device d);

/// @throws sdp::error if the device is not there, or libtorch was not built for it
void require_device(compute_device d);

/// Counts what the calling thread has live on that device from here on. On a CUDA device, counts what all threads have.
memory_meter& meter_this_thread(compute_device d);

/// Gives the calling thread a stream of its own on a CUDA device and returns it, a `cudaStream_t`; null on the host.
void* use_own_stream(compute_device d);

/// Returns when the device has done what it was given.
void synchronize(compute_device d);

} // namespace trainer
