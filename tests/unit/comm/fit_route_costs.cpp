// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <unit/cases.hpp>

#include <sdp/comm/fit_route_costs.hpp>
#include <sdp/comm/threads.hpp>
#include <sdp/data_parallel.hpp>
#include <sdp/masking/forward.hpp>
#include <sdp/partition/neuron.hpp>

#include <doctest/doctest.h>

#include <limits>
#include <string>
#include <vector>

namespace {

sdp::model matrix()
{
    sdp::model m;
    const auto g = m.add_group("neurons", 64);
    m.add_parameter("matrix", {64, 256}, {.axes = {{0, g}}});
    return m;
}

/// The names of the routes that a choice of costs leads to, on four workers with that many holders.
std::vector<std::string> names(int holders, const sdp::route_costs& costs)
{
    std::vector<std::string> out;
    sdp::run_workers(4, [&](sdp::thread_communicator comm) {
        sdp::synchronizer_options options;
        options.costs = costs;
        const sdp::data_parallel net(
            matrix(), sdp::neuron_partition {.coverage = holders / 4.0}, sdp::forward_masking {}, comm, options);
        if (comm.rank() == 0)
            for (const auto& use : net.routes())
                out.emplace_back(use.route);
    });
    return out;
}

} // namespace

TEST_CASE("costs that are measured are the same everywhere, and can be used")
{
    for (const int world : {1, 2, 5}) {
        std::vector<sdp::route_costs> found(static_cast<std::size_t>(world));
        sdp::run_workers(world, [&](sdp::thread_communicator comm) {
            auto& mine = found[static_cast<std::size_t>(comm.rank())];
            mine = sdp::fit_route_costs(comm);
            sdp::synchronizer_options options;
            options.costs = mine;
            const sdp::data_parallel net(matrix(), sdp::neuron_partition {.coverage = 1}, sdp::forward_masking {}, comm, options);
        });
        for (const auto& each : found) {
            CHECK(each == found.front());
            CHECK(each.messages.round_us > 0);
            CHECK(each.memory.round_us > 0);
            CHECK(each.messages.byte_ns >= 0);
            CHECK(each.memory.byte_ns >= 0);
        }
        if (world == 1)
            CHECK(found.front() == sdp::route_costs {});
    }
}

TEST_CASE("the fastest route is the one that costs least")
{
    using list = std::vector<std::string>;
    CHECK(names(2, {}) == list {"threads"});
    CHECK(names(4, {}) == list {"threads"});
    const sdp::route_costs slow_memory {.messages = {1, 0.1}, .memory = {1, 10}};
    CHECK(names(2, slow_memory) == list {"swap"});
    CHECK(names(4, slow_memory) == list {"two-sided"});
    // One round against two: with next to no bytes a swap wins where a memory round is not cheaper than half of a message's.
    const sdp::route_costs rounds_only {.messages = {10, 0}, .memory = {9, 0}};
    CHECK(names(2, rounds_only) == list {"swap"});
    CHECK(names(4, rounds_only) == list {"threads"});
}

TEST_CASE("costs that are no costs are an error")
{
    for (const double wrong : {-1.0, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()})
        sdp::run_workers(1, [&](sdp::thread_communicator comm) {
            sdp::synchronizer_options options;
            options.costs.memory.byte_ns = wrong;
            CHECK(unit::flaw(
                      [&] {
                          sdp::data_parallel(
                              matrix(), sdp::neuron_partition {.holders = 1}, sdp::forward_masking {}, comm, options);
                      },
                      {"route costs", "finite"})
                == "");
        });
}
