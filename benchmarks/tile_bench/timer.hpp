// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Times what is put on a stream.

#include <sdp/cuda/runtime.hpp>

namespace tile_bench {

/// Two events that tell the time.
class timer {
public:
    timer()
    {
        sdp::cuda::check_call(cudaEventCreate(&begin_), "cudaEventCreate");
        sdp::cuda::check_call(cudaEventCreate(&end_), "cudaEventCreate");
    }
    timer(const timer&) = delete;
    timer& operator=(const timer&) = delete;
    ~timer()
    {
        cudaEventDestroy(begin_);
        cudaEventDestroy(end_);
    }

    /// Milliseconds on the stream.
    template <class F> [[nodiscard]] double operator()(cudaStream_t stream, F f)
    {
        sdp::cuda::check_call(cudaEventRecord(begin_, stream), "cudaEventRecord");
        f();
        sdp::cuda::check_call(cudaEventRecord(end_, stream), "cudaEventRecord");
        sdp::cuda::check_call(cudaEventSynchronize(end_), "cudaEventSynchronize");
        float out = 0;
        sdp::cuda::check_call(cudaEventElapsedTime(&out, begin_, end_), "cudaEventElapsedTime");
        return out;
    }

private:
    cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

} // namespace tile_bench
