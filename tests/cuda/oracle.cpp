// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief Random scenarios on a device: workers that are threads and share it, by sums in each other's tensors and by messages,
/// compared with the dense simulation bit for bit, and with the same scenario on the host.

#include "managed_tensors.hpp"

#include <oracle/run_scenario.hpp>

#include <sdp/comm/cuda_threads.hpp>
#include <sdp/partition/neuron.hpp>
#include <sdp/stream.hpp>

#include <doctest/doctest.h>

#include <array>
#include <string>

TEST_CASE("random scenarios on a device equal the dense simulation and the host, bit for bit")
{
    if (sdp::cuda::device_count() == 0) {
        MESSAGE("skipped: there is no CUDA device");
        return;
    }
    const auto cases = oracle::from_environment("SDP_ORACLE_CASES", 60);
    std::uint64_t ran = 0, compared = 0, in_tensors = 0;
    for (std::uint64_t seed = 9'000'001; ran < cases; ++seed) {
        auto s = oracle::random_scenario(seed, 2 + static_cast<int>(ran % 5));
        support::fit_for_stream(s);
        // In turn what costs say, which is tensors; only tensors; and both kinds of messages.
        static constexpr std::array routes {
            sdp::route_choice::fastest, sdp::route_choice::memory, sdp::route_choice::swap, sdp::route_choice::two_sided};
        s.options.route = routes[seed % routes.size()];
        const oracle::expectation expected(s);
        if (!expected.sets.untrained().empty())
            continue;
        INFO(s.describe());
        const auto on_host = oracle::outcomes_on_threads(s, expected);
        std::vector<oracle::outcome> on_device(static_cast<std::size_t>(s.world));
        {
            const support::managed_tensors managed;
            sdp::run_workers(s.world, [&](sdp::thread_communicator inner) {
                const auto rank = static_cast<std::size_t>(inner.rank());
                on_device[rank] = oracle::run_worker(s, expected, sdp::cuda_thread_communicator(std::move(inner)));
            });
        }
        for (const auto& failure : oracle::failures_of(on_device))
            FAIL_CHECK(failure);
        for (std::size_t rank = 0; rank < on_device.size(); ++rank) {
            CHECK(on_device[rank].bits == on_host[rank].bits);
            compared += on_device[rank].compared;
        }
        in_tensors += s.options.route == sdp::route_choice::fastest || s.options.route == sdp::route_choice::memory ? 1 : 0;
        ++ran;
    }
    const std::string text = std::to_string(ran) + " scenarios ran, " + std::to_string(in_tensors)
        + " of them by sums in tensors, " + std::to_string(compared) + " numbers compared";
    MESSAGE(text);
}

TEST_CASE("workers on one device sum in each other's tensors, unless messages are asked for")
{
    if (sdp::cuda::device_count() == 0) {
        MESSAGE("skipped: there is no CUDA device");
        return;
    }
    for (const auto route : {sdp::route_choice::fastest, sdp::route_choice::two_sided})
        sdp::run_workers(4, [&](sdp::thread_communicator inner) {
            sdp::model m;
            m.add_parameter("weights", {33, 7}, {.axes = {{0, m.add_group("neurons", 33)}}});
            sdp::synchronizer_options options;
            options.route = route;
            const sdp::data_parallel net(m, sdp::neuron_partition {.coverage = 0.5}, sdp::forward_masking {},
                sdp::cuda_thread_communicator(std::move(inner)), options);
            for (const auto& use : net.routes())
                CHECK((use.route == sdp::cuda_thread_communicator::memory_route) == (route == sdp::route_choice::fastest));
        });
}
