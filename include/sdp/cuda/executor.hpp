// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Runs tiles on a CUDA stream of its own, beside the host framework's stream.

#include <sdp/cuda/launch.hpp>
#include <sdp/cuda/pool.hpp>
#include <sdp/cuda/runtime.hpp>

#include <cstddef>
#include <functional>
#include <utility>

namespace sdp::cuda {

/// A tile executor on CUDA. One thread at a time uses it, with its device current.
class executor {
public:
    /// @param host stream of the framework's kernels; it has to live until another one replaces it
    /// @param wait returns once an event is reached, or throws; the default waits without a limit
    explicit executor(
        cudaStream_t host, std::function<void(const event&)> wait = [](const event& e) { e.wait(); })
        : host_(host)
        , wait_(std::move(wait))
    {
    }
    executor(const executor&) = delete;
    executor& operator=(const executor&) = delete;
    /// Waits for the stream before the memory is freed.
    ~executor() { cudaStreamSynchronize(side_.get()); }

    /// Serves frameworks that change their stream.
    void set_host_stream(cudaStream_t host) noexcept { host_ = host; }
    [[nodiscard]] cudaStream_t host_stream() const noexcept { return host_; }
    [[nodiscard]] cudaStream_t stream() const noexcept { return side_.get(); }

    /// True while a graph captures the host's stream. Work enqueued on it becomes part of the graph; waiting and allocating are
    /// not allowed.
    [[nodiscard]] bool capturing() const { return cuda::capturing(host_); }
    /// @throws sdp::cuda_error if the host's stream is being captured, before a call that would invalidate the capture
    void refuse_capture(const char* what) const
    {
        if (capturing())
            throw cuda_error(detail::text(what, " cannot be captured for a CUDA graph; expected it before or after the capture"),
                cudaErrorStreamCaptureUnsupported);
    }

    [[nodiscard]] std::byte* allocate(std::size_t bytes)
    {
        refuse_capture("allocating memory, as constructing a synchronizer does,");
        return memory_.take(bytes);
    }
    /// Later work on the stream may reuse the memory.
    void release(const std::byte* memory) noexcept { memory_.give_back(memory); }
    /// Copies from pageable memory, which CUDA copies to a staging buffer before it returns.
    void write(std::byte* to, const void* from, std::size_t bytes)
    {
        refuse_capture("a copy from host memory, as the first step and weighted ones make,");
        if (bytes > 0)
            check_call(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, side_.get()), "cudaMemcpyAsync");
    }
    void read(void* to, const std::byte* from, std::size_t bytes)
    {
        refuse_capture("reading numbers on the host");
        // A copy to pageable memory would wait for the stream without a limit, so `wait_` waits for the stream first.
        read_.record(side_.get());
        wait_(read_);
        fetch(to, from, bytes);
    }
    /// Copies data that is already complete, on a separate stream: waits neither for later work on this executor's stream nor for
    /// the host's.
    void fetch(void* to, const std::byte* from, std::size_t bytes)
    {
        if (bytes == 0)
            return;
        check_call(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, copies_.get()), "cudaMemcpyAsync");
        check_call(cudaStreamSynchronize(copies_.get()), "cudaStreamSynchronize");
    }
    void run(tile_phase phase, const tiles::tile_job& job, element_type type, element_type wire)
    {
        run_tiles(phase, job, type, wire, side_.get());
    }
    void join_host()
    {
        in_.record(host_);
        in_.make_wait(side_.get());
    }
    void release_to_host()
    {
        out_.record(side_.get());
        out_.make_wait(host_);
    }

private:
    cudaStream_t host_;
    cuda::stream side_, copies_;
    event in_, out_, read_;
    std::function<void(const event&)> wait_;
    pool memory_;
};
static_assert(tile_executor<executor>);

} // namespace sdp::cuda
