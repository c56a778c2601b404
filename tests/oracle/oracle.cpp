// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief Random models, masks and world sizes on threads, every element compared with the dense simulation.
///
/// `SDP_ORACLE_CASES` sets how many scenarios run, `SDP_ORACLE_SEED` runs the one of that seed, as failures name it.

#include "run_scenario.hpp"

#include <sdp/comm/threads.hpp>

#include <doctest/doctest.h>

TEST_CASE("random scenarios on threads equal the dense simulation")
{
    oracle::tally seen;
    const auto one = oracle::from_environment("SDP_ORACLE_SEED", 0);
    const auto cases = oracle::from_environment("SDP_ORACLE_CASES", 1500);
    for (std::uint64_t i = 1; i <= (one != 0 ? 1 : cases); ++i) {
        const auto s = oracle::random_scenario(one != 0 ? one : i);
        INFO(s.describe());
        const auto failures = oracle::run_on_threads(s, seen);
        for (const auto& failure : failures)
            FAIL_CHECK(failure);
        CHECK(failures.empty());
    }
    MESSAGE(seen.text());
    if (one != 0 || cases < 1000)
        return;
    // A generator that drifts into triviality would let everything pass.
    CHECK(seen.compared > 5'000'000);
    CHECK(seen.ran >= 1000);
    CHECK(seen.refused >= 20);
    CHECK(seen.nested >= 100);
    for (const auto* counts : {&seen.by_regime, &seen.by_source, &seen.by_world, &seen.by_type, &seen.by_holders})
        for (const auto& [what, count] : *counts) {
            CAPTURE(what);
            CHECK(count >= 20);
        }
    CHECK(seen.by_regime.size() == 3);
    CHECK(seen.by_source.size() == 6);
    CHECK(seen.by_world.size() == 8);
    CHECK(seen.by_type.size() == 3);
    CHECK(seen.by_holders.size() == 9);
}
