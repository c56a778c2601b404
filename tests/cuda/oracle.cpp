// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief Random scenarios on a device: workers that are threads and share it, compared with the dense simulation bit for bit,
/// and with the same scenario on the host.

#include "managed_tensors.hpp"

#include <oracle/run_scenario.hpp>

#include <sdp/cuda/threads.hpp>

#include <doctest/doctest.h>

#include <string>

TEST_CASE("random scenarios on a device equal the dense simulation and the host, bit for bit")
{
    if (sdp::cuda::device_count() == 0) {
        MESSAGE("skipped: there is no CUDA device");
        return;
    }
    const auto cases = oracle::from_environment("SDP_ORACLE_CASES", 60);
    std::uint64_t ran = 0, compared = 0;
    for (std::uint64_t seed = 9'000'001; ran < cases; ++seed) {
        auto s = oracle::random_scenario(seed, 2 + static_cast<int>(ran % 5));
        support::fit_for_stream(s);
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
        ++ran;
    }
    const std::string text = std::to_string(ran) + " scenarios ran, " + std::to_string(compared) + " numbers compared";
    MESSAGE(text);
}
