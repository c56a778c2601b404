// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief CUDA's streams and events as objects, and its errors as exceptions.

#include <sdp/error.hpp>

#include <cuda_runtime_api.h>

#include <cstddef>
#include <string>
#include <utility>

namespace sdp {
#pragma GCC visibility push(default)

/// A call of the CUDA runtime failed.
class cuda_error : public error {
public:
    cuda_error(const std::string& what, cudaError_t code)
        : error(what)
        , code_(code)
    {
    }
    [[nodiscard]] cudaError_t code() const noexcept { return code_; }

private:
    cudaError_t code_;
};

#pragma GCC visibility pop

namespace cuda {

    /// @throws sdp::cuda_error naming the call
    inline void check_call(cudaError_t code, const char* call)
    {
        if (code != cudaSuccess)
            throw cuda_error(detail::text(call, " failed: ", cudaGetErrorString(code), " (", cudaGetErrorName(code), ")"), code);
    }

    /// Number of usable devices; 0 also without a driver.
    [[nodiscard]] inline int device_count() noexcept
    {
        int out = 0;
        return cudaGetDeviceCount(&out) == cudaSuccess ? out : 0;
    }

    /// True while a graph captures the stream. The default stream is never captured.
    [[nodiscard]] inline bool capturing(cudaStream_t stream)
    {
        if (stream == nullptr)
            return false; // a query would be an error while another stream is captured
        auto status = cudaStreamCaptureStatusNone;
        check_call(cudaStreamIsCapturing(stream, &status), "cudaStreamIsCapturing");
        return status != cudaStreamCaptureStatusNone;
    }

    /// Enables access from the current device to the memory of another. Repeated calls are harmless.
    /// @throws sdp::cuda_error naming the two devices
    inline void enable_peer_access(int to)
    {
        const auto code = cudaDeviceEnablePeerAccess(to, 0);
        if (code == cudaErrorPeerAccessAlreadyEnabled) {
            static_cast<void>(cudaGetLastError()); // clears the error that CUDA remembers
            return;
        }
        int from = -1;
        cudaGetDevice(&from);
        if (code != cudaSuccess)
            throw cuda_error(detail::text("device ", from, " does not get at the memory of device ", to, ": ",
                                 cudaGetErrorString(code), " (", cudaGetErrorName(code), ")"),
                code);
    }

    /// An event without timing, which is the cheapest to record.
    class event {
    public:
        event() { check_call(cudaEventCreateWithFlags(&handle_, cudaEventDisableTiming), "cudaEventCreateWithFlags"); }
        event(event&& other) noexcept
            : handle_(std::exchange(other.handle_, nullptr))
        {
        }
        event& operator=(event&& other) noexcept
        {
            std::swap(handle_, other.handle_);
            return *this;
        }
        ~event()
        {
            if (handle_ != nullptr)
                cudaEventDestroy(handle_);
        }

        void record(cudaStream_t stream) { check_call(cudaEventRecord(handle_, stream), "cudaEventRecord"); }
        /// Makes later work of the stream wait for the recorded work.
        void make_wait(cudaStream_t stream) const { check_call(cudaStreamWaitEvent(stream, handle_, 0), "cudaStreamWaitEvent"); }
        [[nodiscard]] bool reached() const
        {
            const auto code = cudaEventQuery(handle_);
            if (code == cudaErrorNotReady) {
                static_cast<void>(cudaGetLastError()); // clears the error that CUDA remembers, which a launch would report
                return false;
            }
            check_call(code, "cudaEventQuery");
            return true;
        }

        /// Waits without a limit.
        void wait() const { check_call(cudaEventSynchronize(handle_), "cudaEventSynchronize"); }

    private:
        cudaEvent_t handle_ = nullptr;
    };

    /// A stream that does not wait for the default stream.
    class stream {
    public:
        stream() { check_call(cudaStreamCreateWithFlags(&handle_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags"); }
        stream(const stream&) = delete;
        stream& operator=(const stream&) = delete;
        ~stream() { cudaStreamDestroy(handle_); }

        [[nodiscard]] cudaStream_t get() const noexcept { return handle_; }

    private:
        cudaStream_t handle_ = nullptr;
    };

} // namespace cuda

} // namespace sdp
