// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief A step that is captured for a CUDA graph and replayed, beside the same step as it is.

#include <sdp/cuda/runtime.hpp>
#include <sdp/data_parallel.hpp>
#include <sdp/masking/forward.hpp>
#include <sdp/partition/neuron.hpp>
#include <sdp/stream.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace support {

/// Floats on the device.
class device_floats {
public:
    explicit device_floats(std::size_t size)
        : size_(size)
    {
        sdp::cuda::check_call(cudaMalloc(reinterpret_cast<void**>(&data_), size * sizeof(float)), "cudaMalloc");
    }
    device_floats(const device_floats&) = delete;
    device_floats& operator=(const device_floats&) = delete;
    ~device_floats() { cudaFree(data_); }

    [[nodiscard]] float* data() const noexcept { return data_; }
    [[nodiscard]] std::size_t bytes() const noexcept { return size_ * sizeof(float); }
    void set(std::span<const float> from)
    {
        sdp::cuda::check_call(cudaMemcpy(data_, from.data(), bytes(), cudaMemcpyHostToDevice), "cudaMemcpy");
        sdp::cuda::check_call(cudaStreamSynchronize(nullptr), "cudaStreamSynchronize"); // from pageable memory it may go on
    }
    [[nodiscard]] std::vector<float> get() const
    {
        std::vector<float> out(size_);
        sdp::cuda::check_call(cudaMemcpy(out.data(), data_, bytes(), cudaMemcpyDeviceToHost), "cudaMemcpy");
        return out;
    }

private:
    std::size_t size_;
    float* data_ = nullptr;
};

/// A capture that ends when it goes, before what it must not see freed.
class capture {
public:
    explicit capture(cudaStream_t stream)
        : stream_(stream)
    {
        sdp::cuda::check_call(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
    }
    capture(const capture&) = delete;
    capture& operator=(const capture&) = delete;
    ~capture()
    {
        if (graph_ == nullptr)
            static_cast<void>(cudaStreamEndCapture(stream_, &graph_));
        if (graph_ != nullptr)
            static_cast<void>(cudaGraphDestroy(graph_));
        static_cast<void>(cudaGetLastError()); // of a capture that was spoilt
    }

    [[nodiscard]] cudaGraph_t end()
    {
        sdp::cuda::check_call(cudaStreamEndCapture(stream_, &graph_), "cudaStreamEndCapture");
        return graph_;
    }

private:
    cudaStream_t stream_;
    cudaGraph_t graph_ = nullptr;
};

/// Describes an error in a captured step; empty if there is none. The communicator's host stream has to be `stream`.
/// A wire format over the world, so that a single worker's gradients change too.
template <sdp::stream_exchange C> [[nodiscard]] std::string flaw_of_captured_step(C comm, cudaStream_t stream)
{
    constexpr sdp::index_t neurons = 257, inputs = 33;
    sdp::model m;
    m.add_parameter("weights", {neurons, inputs}, {.axes = {{0, m.add_group("neurons", neurons)}}});
    sdp::synchronizer_options options;
    options.normalizer = sdp::normalizer::world;
    options.wire = sdp::wire_format::bf16;
    sdp::data_parallel net(m, sdp::neuron_partition {.coverage = 1}, sdp::forward_masking {}, comm, options);
    const auto id = sdp::parameter_id(0);
    const auto shape = net.subnetwork().shape(id);
    const auto size = static_cast<std::size_t>(shape.product());
    device_floats from(size), gradient(size);
    sdp::tensor_view view;
    view.data = gradient.data();
    view.shape = shape;
    view.strides = sdp::row_major_strides(shape);
    view.space = sdp::memory_space::cuda;
    net.bind_gradient(id, view);

    const auto numbers = [&](int seed) {
        std::vector<float> out;
        for (std::size_t i = 0; i < size; ++i)
            out.push_back(static_cast<float>((static_cast<int>(i) * 37 + net.rank() * 11 + seed * 101) % 1009) / 7);
        return out;
    };
    const auto step = [&] {
        sdp::cuda::check_call(
            cudaMemcpyAsync(gradient.data(), from.data(), from.bytes(), cudaMemcpyDeviceToDevice, stream), "cudaMemcpyAsync");
        net.synchronize();
    };
    const auto wait = [&] { sdp::cuda::check_call(cudaStreamSynchronize(stream), "cudaStreamSynchronize"); };
    std::vector<std::vector<float>> expected;
    for (const int seed : {1, 2}) {
        from.set(numbers(seed));
        step();
        wait();
        expected.push_back(gradient.get());
        if (expected.back() == numbers(seed))
            return "the step does nothing, so a comparison would show nothing";
    }

    cudaGraphExec_t replay = nullptr;
    {
        capture captured(stream);
        step();
        sdp::cuda::check_call(cudaGraphInstantiateWithFlags(&replay, captured.end(), 0), "cudaGraphInstantiateWithFlags");
    }
    std::string out;
    for (const int seed : {2, 1, 2}) {
        from.set(numbers(seed));
        sdp::cuda::check_call(cudaGraphLaunch(replay, stream), "cudaGraphLaunch");
        wait();
        if (gradient.get() != expected[static_cast<std::size_t>(seed - 1)])
            out = "a replayed step differs from the same step as it is";
    }
    from.set(numbers(1));
    step(); // what was captured is in nobody's way
    wait();
    if (gradient.get() != expected[0])
        out = "a step after the replays differs from the same step before";
    sdp::cuda::check_call(cudaGraphExecDestroy(replay), "cudaGraphExecDestroy");
    return out;
}

} // namespace support
