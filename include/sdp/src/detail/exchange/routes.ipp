// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Compares routes, and lists them.

#include <sdp/detail/exchange/routes.hpp>
#include <sdp/src/separate.hpp>

#include <algorithm>

namespace sdp::detail {

SDP_INLINE bool memory_is_faster(const sharing_class& c, route_kind messages, const route_costs& costs)
{
    constexpr double element = 4; // bytes; f64 doubles both sides
    const auto k = static_cast<double>(c.trainers.size());
    const double bytes = static_cast<double>(c.elements) * element;
    const auto time = [](const route_cost& cost, double rounds, double moved) {
        return rounds * cost.round_us + moved * cost.byte_ns * 1e-3;
    };
    const double by_messages
        = messages == route_kind::swap ? time(costs.messages, 1, bytes) : time(costs.messages, 2, 2 * (k - 1) / k * bytes);
    return time(costs.memory, 2, 2 * bytes) <= by_messages;
}

SDP_INLINE std::vector<route_use> list_routes(
    const overlap_plan& plan, std::span<const route_kind> routes, std::string_view memory_route)
{
    const auto name_of = [&](route_kind route) -> std::string_view {
        return route == route_kind::memory ? memory_route
            : route == route_kind::swap    ? "swap"
            : route == route_kind::native  ? "native"
                                           : "two-sided";
    };
    std::vector<route_use> out;
    const auto use_of = [&](route_kind route) -> route_use& {
        const auto at = std::ranges::find(out, name_of(route), &route_use::route);
        return at != out.end() ? *at : *out.insert(out.end(), {name_of(route), 0, 0});
    };
    for (const auto& piece : plan.pieces)
        if (const auto route = routes[piece.sharing_class]; route > route_kind::local)
            use_of(route).elements += plan.size_of(piece);
    for (const auto route : routes)
        if (route > route_kind::local)
            ++use_of(route).holder_sets;
    return out;
}

} // namespace sdp::detail
