// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief Steps under capture for a CUDA graph: one worker's can be, and what cannot be is refused.

#include "captured_step.hpp"

#include <sdp/comm/cuda_threads.hpp>

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <vector>

TEST_CASE("a captured step of a single worker does, replayed, what the step does")
{
    if (sdp::cuda::device_count() == 0) {
        MESSAGE("skipped: there is no CUDA device");
        return;
    }
    const sdp::cuda::stream stream;
    sdp::run_workers(1, [&](sdp::thread_communicator inner) {
        CHECK(support::flaw_of_captured_step(sdp::cuda_thread_communicator(std::move(inner), stream.get()), stream.get()) == "");
    });
}

TEST_CASE("between threads a step cannot be captured, and says so")
{
    if (sdp::cuda::device_count() == 0) {
        MESSAGE("skipped: there is no CUDA device");
        return;
    }
    std::array<std::string, 2> told;
    sdp::run_workers(2, [&](sdp::thread_communicator inner) {
        const sdp::cuda::stream stream;
        const auto rank = static_cast<std::size_t>(inner.rank());
        try {
            static_cast<void>(
                support::flaw_of_captured_step(sdp::cuda_thread_communicator(std::move(inner), stream.get()), stream.get()));
        } catch (const sdp::cuda_error& e) {
            told[rank] = e.what();
        }
    });
    for (const auto& what : told)
        CHECK(what.find("an exchange between threads cannot be captured") != std::string::npos);
}
