// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Chooses the route of each sharing class from the communicator's capabilities and the costs of the routes.

#include <sdp/comm/communicator.hpp>
#include <sdp/overlap/plan.hpp>
#include <sdp/synchronizer_options.hpp>
#include <sdp/traffic.hpp>

#include <algorithm>
#include <span>
#include <string_view>
#include <vector>

namespace sdp::detail {

/// Route of a class's gradients.
enum class route_kind : std::uint8_t {
    none, ///< this worker is no trainer of the class
    local, ///< this worker is the only trainer
    swap, ///< two trainers send each other everything and both sum: one round
    two_sided, ///< sent to the owner, which sums and sends the mean back
    memory, ///< the owner sums in memory that all trainers reach
    native, ///< the transport's own all-reduce
};

/// @param own_all_reduce true if the transport has an all-reduce that the engine uses
/// @throws sdp::input_error unless the communicator offers the route that is asked for
template <communicator C> void check_route(const synchronizer_options& options, bool own_all_reduce)
{
    if (!peer_memory<C> && options.route == route_choice::memory)
        fail("route is memory, but the workers of this communicator do not reach each other's memory; expected a communicator "
             "that "
             "models peer_memory");
    if (options.route != route_choice::native)
        return;
    if (!own_all_reduce)
        fail("route is native, but this communicator has no all-reduce of its own; expected one that models native_all_reduce");
    if (options.wire != wire_format::as_is)
        fail("route is native and wire is ", name_of(options.wire),
            "; the transport's own all-reduce sums elements as they are, so expected as_is");
}

/// True if segments of peer memory are to be opened. All ranks that reach each other get the same answer.
template <communicator C>
[[nodiscard]] bool may_share_memory(const overlap_plan& plan, const C& comm, const synchronizer_options& options)
{
    if constexpr (peer_memory<C>)
        if (options.route != route_choice::two_sided && options.route != route_choice::swap)
            for (int rank = 0; rank < plan.world; ++rank)
                if (rank != plan.rank && comm.reaches(rank))
                    return true;
    return false;
}

/// True if owners work in the trainers' tensors, for parameters where this is faster.
template <communicator C> [[nodiscard]] bool in_tensors([[maybe_unused]] const synchronizer_options& options) noexcept
{
    if constexpr (peer_memory<C>)
        return C::one_address_space || options.shared_gradients;
    else
        return false;
}

/// True if the memory route is faster than messages for a class. All trainers get the same answer, because the elements of a
/// class are counted over the whole model.
[[nodiscard]] bool memory_is_faster(const sharing_class& c, route_kind messages, const route_costs& costs);

/// The route of each class of the plan. All trainers of a class choose the same route, because the choice depends only on the set
/// of trainers, the number of elements they share, and options that all ranks have alike.
template <communicator C>
[[nodiscard]] std::vector<route_kind> choose_routes(
    const overlap_plan& plan, const C& comm, const synchronizer_options& options, bool own_all_reduce = native_all_reduce<C>)
{
    const bool memory = may_share_memory(plan, comm, options);
    const auto choose = [&](const sharing_class& c) {
        const std::size_t k = c.trainers.size();
        if (c.position < 0)
            return route_kind::none;
        if (k == 1)
            return route_kind::local;
        if (own_all_reduce && options.route == route_choice::native && static_cast<int>(k) == plan.world)
            return route_kind::native;
        const route_kind messages = k == 2 && options.update == update_mode::average && options.route != route_choice::two_sided
            ? route_kind::swap
            : route_kind::two_sided;
        if constexpr (peer_memory<C>)
            if (memory && (options.route == route_choice::memory || memory_is_faster(c, messages, options.costs))
                && std::ranges::all_of(c.trainers, [&](int rank) { return comm.reaches(rank); }))
                return route_kind::memory;
        return messages;
    };
    std::vector<route_kind> out;
    for (const auto& c : plan.classes)
        out.push_back(choose(c));
    return out;
}

/// Lists the routes in use, for reports. `memory_route` is the communicator's name of its peer memory.
[[nodiscard]] std::vector<route_use> list_routes(
    const overlap_plan& plan, std::span<const route_kind> routes, std::string_view memory_route);

} // namespace sdp::detail

#ifndef SDP_SEPARATE_COMPILATION
#include <sdp/src/detail/exchange/routes.ipp>
#endif
