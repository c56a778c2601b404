// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Lets the oracle's workers train on a device.

#include <oracle/guarded_tensor.hpp>
#include <oracle/random_models.hpp>

#include <sdp/cuda/runtime.hpp>

namespace support {

/// Tensors are in memory that host and device reach, while it lives.
class managed_tensors {
public:
    managed_tensors()
    {
        oracle::tensor_memory.allocate = [](std::size_t bytes) {
            void* out = nullptr;
            sdp::cuda::check_call(cudaMallocManaged(&out, bytes, cudaMemAttachGlobal), "cudaMallocManaged");
            return out;
        };
        oracle::tensor_memory.release = [](void* memory) { cudaFree(memory); };
        oracle::tensor_memory.settle = [] { sdp::cuda::check_call(cudaDeviceSynchronize(), "cudaDeviceSynchronize"); };
        oracle::tensor_memory.space = sdp::memory_space::cuda;
    }
    managed_tensors(const managed_tensors&) = delete;
    managed_tensors& operator=(const managed_tensors&) = delete;
    ~managed_tensors() { oracle::tensor_memory = {}; }
};

/// Leaves out what a stream does not take.
inline void fit_for_stream(oracle::scenario& s)
{
    s.contiguous = true;
    s.options.shared_gradients = false;
    if (s.options.route == sdp::route_choice::memory)
        s.options.route = sdp::route_choice::fastest;
}

} // namespace support
