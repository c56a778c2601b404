// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief The result does not show how it came about: the same bits for every bucket size, number of buckets under way, route,
/// communicator, order of ready and order of arrival.
///
/// `SDP_ORACLE_CONFIGURATIONS` sets how many configurations each model runs with.

#include "run_scenario.hpp"
#include "support/delayed_communicator.hpp"
#include "support/messages_only.hpp"
#include "support/stream_communicator.hpp"

#include <sdp/comm/threads.hpp>

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <map>
#include <string>
#include <vector>

namespace {

using support::messages_only;
using delayed_messages = support::delayed_communicator<sdp::thread_communicator>;
static_assert(!sdp::peer_memory<delayed_messages>);

enum class link { threads, messages, delayed, stream, tensors };

std::string name_of(link which)
{
    static const char* const names[] = {"threads", "messages only", "delayed", "stream", "stream in tensors"};
    return names[static_cast<int>(which)];
}

struct configuration {
    link which = link::threads;
    std::size_t bucket_bytes = 0;
    int buckets_in_flight = 1;
    sdp::route_choice route = sdp::route_choice::fastest;
    std::uint64_t habits = 0;
    bool shared_gradients = false;
    int together = 1; ///< on a stream, workers that reach each other's tensors

    [[nodiscard]] bool on_stream() const noexcept { return which == link::stream || which == link::tensors; }
    [[nodiscard]] std::string describe() const
    {
        return name_of(which) + ", buckets of " + std::to_string(bucket_bytes) + " bytes, " + std::to_string(buckets_in_flight)
            + " under way, route " + std::string(sdp::name_of(route)) + ", habits " + std::to_string(habits)
            + (shared_gradients ? ", shared gradients" : "")
            + (which == link::tensors ? ", " + std::to_string(together) + " together" : "");
    }
};

configuration random_configuration(oracle::sequence& random)
{
    static constexpr std::size_t sizes[] = {1, 64, 256, 1024, 4096, std::size_t(4) << 20};
    static constexpr sdp::route_choice routes[]
        = {sdp::route_choice::fastest, sdp::route_choice::memory, sdp::route_choice::swap, sdp::route_choice::two_sided};
    configuration out;
    out.which = static_cast<link>(random.below(5));
    out.bucket_bytes = sizes[random.below(6)];
    out.buckets_in_flight = random.between(1, 5);
    // Without peer memory that route is an error.
    out.route = out.which == link::threads || out.which == link::tensors
        ? routes[random.below(4)]
        : routes[std::array {0, 2, 3}[static_cast<std::size_t>(random.below(3))]];
    out.habits = random.bits();
    out.shared_gradients = random.chance(40) && !out.on_stream();
    out.together = random.between(1, 6);
    return out;
}

std::vector<oracle::outcome> outcomes_of(oracle::scenario s, const oracle::expectation& expected, const configuration& c)
{
    s.options.bucket_bytes = c.bucket_bytes;
    s.options.local.buckets_in_flight = c.buckets_in_flight;
    s.options.route = c.route;
    s.habits = c.habits;
    s.options.shared_gradients = c.shared_gradients;
    s.contiguous = c.on_stream();
    s.several_nodes = c.which == link::tensors && c.together < s.world;
    std::vector<oracle::outcome> out(static_cast<std::size_t>(s.world));
    sdp::run_workers(s.world, [&](sdp::thread_communicator inner) {
        const int rank = inner.rank();
        auto& mine = out[static_cast<std::size_t>(rank)];
        switch (c.which) {
        case link::threads:
            mine = oracle::run_worker(s, expected, inner);
            break;
        case link::messages:
            mine = oracle::run_worker(s, expected, messages_only(inner));
            break;
        case link::stream:
            mine = oracle::run_worker(s, expected, support::stream_communicator(inner));
            break;
        case link::tensors:
            mine = oracle::run_worker(s, expected, support::reaching_stream_communicator(inner, c.together));
            break;
        case link::delayed: {
            // Another speed for each sender, so that gradients arrive in another order each time.
            oracle::sequence random(oracle::hash(c.habits, 29, rank));
            const support::link_speed speed {
                .latency = std::chrono::microseconds(random.below(120)), .bytes_per_second = 1e6 * random.between(20, 2000)};
            mine = oracle::run_worker(s, expected, delayed_messages(inner, speed));
            break;
        }
        }
    });
    return out;
}

/// Everything that may not depend on the configuration.
std::vector<std::uint64_t> bits_of(const std::vector<oracle::outcome>& outcomes)
{
    std::vector<std::uint64_t> out;
    for (const auto& o : outcomes) {
        out.push_back(o.bits);
        out.push_back(o.compared);
    }
    return out;
}

} // namespace

TEST_CASE("the bits of the result do not depend on buckets, route, communicator, or order of calls and arrival")
{
    const auto each = oracle::from_environment("SDP_ORACLE_CONFIGURATIONS", 25);
    constexpr int models = 40;
    std::uint64_t ran = 0, compared = 0;
    int weighted = 0, over_world = 0, owners = 0, found = 0;
    std::map<std::string, int> by_link, by_route, by_memory;
    for (std::uint64_t seed = 7'000'001; found < models; ++seed) {
        const auto s = oracle::random_scenario(seed, 2 + found % 5);
        auto other = s;
        other.options.route = sdp::route_choice::two_sided; // whose phases the formula splits differently where k = 2
        auto swaps = s;
        swaps.options.route = sdp::route_choice::fastest;
        const oracle::expectation expected(swaps), expected_two_sided(other);
        if (!expected.sets.untrained().empty())
            continue;
        ++found;
        weighted += s.how.weights.empty() ? 0 : 1;
        over_world += s.how.over_world ? 1 : 0;
        owners += s.owner_update() ? 1 : 0;
        INFO(s.describe());
        oracle::sequence random(oracle::hash(seed, 31));
        std::vector<std::uint64_t> first;
        for (std::uint64_t i = 0; i < each; ++i) {
            // The first: everything at once, in messages, the plainest way there is.
            const auto c = i == 0 ? configuration {link::messages, std::size_t(4) << 20, 1, sdp::route_choice::two_sided, 0}
                                  : random_configuration(random);
            INFO(c.describe());
            const auto outcomes = outcomes_of(s, c.route == sdp::route_choice::two_sided ? expected_two_sided : expected, c);
            for (const auto& failure : oracle::failures_of(outcomes))
                FAIL_CHECK(failure);
            if (i == 0)
                first = bits_of(outcomes);
            CHECK(bits_of(outcomes) == first);
            for (const auto& o : outcomes)
                compared += o.compared;
            ++ran;
            ++by_link[name_of(c.which)];
            ++by_route[std::string(sdp::name_of(c.route))];
            ++by_memory[c.shared_gradients ? "shared gradients" : "gradients of the host"];
        }
    }
    std::string text = std::to_string(ran) + " configurations of " + std::to_string(found) + " models, "
        + std::to_string(compared) + " numbers compared;";
    for (const auto* counts : {&by_link, &by_route, &by_memory})
        for (const auto& [what, times] : *counts)
            text += " " + what + ": " + std::to_string(times);
    MESSAGE(text);
    // Models that happen to be all alike would show little.
    CHECK(weighted >= 5);
    CHECK(over_world >= 5);
    CHECK(owners >= 5);
    CHECK(weighted < models);
    CHECK(owners < models);
    if (each < 25)
        return;
    CHECK(ran >= 200);
    for (const auto* counts : {&by_link, &by_route, &by_memory})
        for (const auto& each_kind : *counts) {
            CAPTURE(each_kind.first);
            CHECK(each_kind.second >= 20);
        }
    CHECK(by_link.size() == 5);
    CHECK(by_route.size() == 4);
}
