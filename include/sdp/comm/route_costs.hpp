// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Costs of messages and of peer memory, by which a route is chosen.

namespace sdp {

/// Cost of a transport for one worker: a latency per round and a time per byte.
struct route_cost {
    double round_us = 0; ///< microseconds
    double byte_ns = 0; ///< nanoseconds

    friend bool operator==(const route_cost&, const route_cost&) = default;
};

/// Costs that `route_choice::fastest` compares, class by class. A class of P bytes and k trainers takes two rounds and 2(k−1)/k·P
/// bytes in messages through the owner, one round and P bytes by a swap, and two rounds and 2P bytes read and written in memory.
/// The defaults are for one machine; `fit_route_costs` measures. Model: ours.
struct route_costs {
    route_cost messages {20, 0.5};
    route_cost memory {5, 0.1};

    friend bool operator==(const route_costs&, const route_costs&) = default;
};

} // namespace sdp
