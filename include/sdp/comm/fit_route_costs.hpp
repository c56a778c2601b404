// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Measures the costs of messages and of peer memory on the current machine.

#include <sdp/comm/communicator.hpp>
#include <sdp/comm/detail/cost_probe.hpp>
#include <sdp/comm/detail/root_collectives.hpp>
#include <sdp/comm/route_costs.hpp>

#include <chrono>
#include <vector>

namespace sdp {

/// Measures the costs of messages and of peer memory. Collective: returns the means over all workers that could measure a cost,
/// the same values on each. Takes some milliseconds and 2 MiB per worker. A cost that no worker can measure keeps its default:
/// both costs with a single worker, the cost of memory where no two workers reach each other's.
/// @throws the exceptions of the communicator
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
