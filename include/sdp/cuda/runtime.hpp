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

namespace cuda {

    /// @throws sdp::cuda_error naming the call
    inline void check(cudaError_t code, const char* call)
    {
        if (code != cudaSuccess)
            throw cuda_error(detail::text(call, " failed: ", cudaGetErrorString(code), " (", cudaGetErrorName(code), ")"), code);
    }

    /// Devices that can be used; 0 also where there is no driver.
    [[nodiscard]] inline int device_count() noexcept
    {
        int out = 0;
        return cudaGetDeviceCount(&out) == cudaSuccess ? out : 0;
    }

    /// Whether a stream is being captured for a graph, which the default stream never is.
    [[nodiscard]] inline bool capturing(cudaStream_t stream)
    {
        if (stream == nullptr)
            return false; // to ask would be an error while another is
        auto status = cudaStreamCaptureStatusNone;
        check(cudaStreamIsCapturing(stream, &status), "cudaStreamIsCapturing");
        return status != cudaStreamCaptureStatusNone;
    }

    /// Lets the current device reach the memory of another; more than once does no harm.
    /// @throws sdp::cuda_error naming the two devices
    inline void enable_peer_access(int to)
    {
        const auto code = cudaDeviceEnablePeerAccess(to, 0);
        if (code == cudaErrorPeerAccessAlreadyEnabled) {
            static_cast<void>(cudaGetLastError()); // it is remembered as an error
            return;
        }
        int from = -1;
        cudaGetDevice(&from);
        if (code != cudaSuccess)
            throw cuda_error(detail::text("device ", from, " does not get at the memory of device ", to, ": ",
                                 cudaGetErrorString(code), " (", cudaGetErrorName(code), ")"),
                code);
    }

    /// Has no timing, so that recording it costs least.
    class event {
    public:
        event() { check(cudaEventCreateWithFlags(&handle_, cudaEventDisableTiming), "cudaEventCreateWithFlags"); }
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

        void record(cudaStream_t stream) { check(cudaEventRecord(handle_, stream), "cudaEventRecord"); }
        /// What the stream gets from now on waits for what was recorded.
        void make_wait(cudaStream_t stream) const { check(cudaStreamWaitEvent(stream, handle_, 0), "cudaStreamWaitEvent"); }
        [[nodiscard]] bool reached() const
        {
            const auto code = cudaEventQuery(handle_);
            if (code == cudaErrorNotReady) {
                static_cast<void>(cudaGetLastError()); // it is remembered as an error, which the next look at a launch would find
                return false;
            }
            check(code, "cudaEventQuery");
            return true;
        }

        /// As long as it takes.
        void wait() const { check(cudaEventSynchronize(handle_), "cudaEventSynchronize"); }

    private:
        cudaEvent_t handle_ = nullptr;
    };

    /// Does not wait for the default stream.
    class stream {
    public:
        stream() { check(cudaStreamCreateWithFlags(&handle_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags"); }
        stream(const stream&) = delete;
        stream& operator=(const stream&) = delete;
        ~stream() { cudaStreamDestroy(handle_); }

        [[nodiscard]] cudaStream_t get() const noexcept { return handle_; }

    private:
        cudaStream_t handle_ = nullptr;
    };

} // namespace cuda

} // namespace sdp
