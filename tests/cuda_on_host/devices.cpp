// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief Workers on several devices, and workers that fail, with streams that are threads of the host.

#include "runtime.hpp"

#include <sdp/comm/cuda_threads.hpp>
#include <sdp/data_parallel.hpp>
#include <sdp/masking/forward.hpp>
#include <sdp/partition/neuron.hpp>
#include <sdp/stream.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

namespace {

sdp::model rows(sdp::index_t size)
{
    sdp::model m;
    m.add_parameter("rows", {size, size}, {.axes = {{0, m.add_group("neurons", size)}}});
    return m;
}

/// Puts the simulation back to one device when it goes.
struct several_devices {
    several_devices(int count, bool reach)
    {
        simulated::devices = count;
        simulated::peers_reach = reach;
    }
    several_devices(const several_devices&) = delete;
    several_devices& operator=(const several_devices&) = delete;
    ~several_devices()
    {
        simulated::devices = 1;
        simulated::peers_reach = true;
    }
};

/// Memory of a device, which waits for the device before it goes.
struct device_memory {
    void operator()(float* data) const { cudaFree(data); }
};

/// A gradient of one value, bound to a parameter of one tensor.
template <class Net> std::unique_ptr<float[], device_memory> bind(Net& net, float value)
{
    const auto id = sdp::parameter_id(0);
    const auto size = static_cast<std::size_t>(net.subnetwork().shape(id).product());
    void* data = nullptr;
    sdp::cuda::check_call(cudaMalloc(&data, size * sizeof(float)), "cudaMalloc");
    std::unique_ptr<float[], device_memory> out(static_cast<float*>(data));
    std::fill_n(out.get(), size, value);
    sdp::tensor_view view;
    view.data = data;
    view.shape = net.subnetwork().shape(id);
    view.strides = sdp::row_major_strides(view.shape);
    view.space = sdp::memory_space::cuda;
    net.bind_gradient(id, view);
    return out;
}

} // namespace

TEST_CASE("devices that reach each other are used that way, and where one pair does not, all go in messages")
{
    for (const bool reach : {false, true}) {
        const several_devices two(2, reach);
        sdp::run_workers(4, [&](sdp::thread_communicator inner) {
            simulated::current_device = inner.rank() / 2;
            const sdp::cuda::stream host;
            sdp::data_parallel net(rows(32), sdp::neuron_partition {.coverage = 1}, sdp::forward_masking {},
                sdp::cuda_thread_communicator(inner, host.get()));
            for (const auto& use : net.routes())
                CHECK((use.route == "device") == reach);
            const auto gradient = bind(net, static_cast<float>(inner.rank()));
            for (int step = 0; step < 3; ++step)
                net.synchronize();
            sdp::cuda::check_call(cudaStreamSynchronize(host.get()), "cudaStreamSynchronize");
            CHECK(std::all_of(gradient.get(), gradient.get() + 32 * 32, [](float x) { return x == 1.5F; }));
        });
        CHECK(simulated::enabled_peers().size() == (reach ? 2 : 0));
    }
}

TEST_CASE("streams alone order the gradients that a step makes, their sums, and who reads the means")
{
    constexpr sdp::index_t size = 64;
    constexpr std::size_t elements = size * size;
    for (const auto route : {sdp::route_choice::fastest, sdp::route_choice::two_sided, sdp::route_choice::swap})
        for (const int world : {2, 4})
            sdp::run_workers(world, [&](sdp::thread_communicator inner) {
                const sdp::cuda::stream host;
                sdp::synchronizer_options options;
                options.route = route;
                sdp::data_parallel net(rows(size), sdp::neuron_partition {.coverage = 1}, sdp::forward_masking {},
                    sdp::cuda_thread_communicator(inner, host.get()), options);
                const auto gradient = bind(net, 0);
                // The host only puts work on its stream: gradients are there when that gets to it.
                const auto copy = [&](float* to, const float* from) {
                    sdp::cuda::check_call(
                        cudaMemcpyAsync(to, from, elements * sizeof(float), cudaMemcpyDeviceToDevice, host.get()),
                        "cudaMemcpyAsync");
                };
                constexpr int steps = 20;
                std::vector<std::vector<float>> made, found(steps, std::vector<float>(elements));
                for (int step = 0; step < steps; ++step)
                    made.emplace_back(elements, static_cast<float>(inner.rank() + 8 * step));
                for (std::size_t step = 0; step < steps; ++step) {
                    copy(gradient.get(), made[step].data());
                    net.synchronize();
                    copy(found[step].data(), gradient.get());
                }
                sdp::cuda::check_call(cudaStreamSynchronize(host.get()), "cudaStreamSynchronize");
                for (int step = 0; step < steps; ++step)
                    CHECK(found[static_cast<std::size_t>(step)]
                        == std::vector<float>(elements, static_cast<float>(world - 1) / 2 + static_cast<float>(8 * step)));
            });
}

TEST_CASE("a worker that is late is named, and its events and buffers stay for who still waits")
{
    for (const auto route : {sdp::route_choice::fastest, sdp::route_choice::two_sided}) {
        std::string told;
        try {
            sdp::run_workers(2, [&](sdp::thread_communicator inner) {
                const bool patient = inner.rank() == 1;
                sdp::synchronizer_options options;
                options.route = route;
                options.local.timeout = patient ? 60s : 2s;
                sdp::data_parallel net(rows(64), sdp::neuron_partition {.coverage = 1}, sdp::forward_masking {},
                    sdp::cuda_thread_communicator(inner, nullptr, options.local.timeout), options);
                const auto gradient = bind(net, 1);
                net.synchronize();
                if (patient)
                    std::this_thread::sleep_for(3s);
                try {
                    net.synchronize();
                } catch (const sdp::timeout_error& e) {
                    told = e.what();
                    throw;
                } catch (const sdp::aborted_error&) { // the cause is the other's
                }
                sdp::cuda::check_call(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
            });
            FAIL_CHECK("nothing was thrown");
        } catch (const sdp::timeout_error&) {
        }
        CAPTURE(told);
        CHECK(told.find("rank 0 waited") != std::string::npos);
        CHECK(told.find("rank 1") != std::string::npos);
    }
}
