// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Measures what messages and peer memory cost on the machine at hand.

#include <sdp/comm/communicator.hpp>
#include <sdp/comm/detail/cost_probe.hpp>
#include <sdp/comm/detail/root_collectives.hpp>
#include <sdp/comm/route_costs.hpp>

#include <chrono>
#include <vector>

namespace sdp {

/// Collective: what messages and peer memory cost, the means over all workers that could measure it, the same on each. Takes some
/// milliseconds and 2 MiB per worker. What nobody can measure keeps its default: all with a single worker, memory where no two
/// reach each other's.
/// @throws what the communicator throws
template <communicator C>
[[nodiscard]] route_costs fit_route_costs(C& comm, std::chrono::milliseconds limit = std::chrono::minutes(1))
{
    route_costs out;
    if (comm.size() < 2)
        return out;
    detail::cost_probe<C> probe(comm, limit);
    const auto messages = probe.messages();
    const auto memory = probe.memory();
    const auto known = memory.value_or(route_cost {});
    double sums[] {messages.round_us, messages.byte_ns, known.round_us, known.byte_ns, memory ? 1.0 : 0.0};
    std::vector<double> all;
    detail::root_collectives<C>(comm, limit).all_reduce(sums, all);
    out.messages = {sums[0] / comm.size(), sums[1] / comm.size()};
    if (const double measured = sums[4]; measured > 0)
        out.memory = {sums[2] / measured, sums[3] / measured};
    return out;
}

} // namespace sdp
