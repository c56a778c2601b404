// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Gives units their holders, and checks them.

#include <sdp/partition/assignment.hpp>
#include <sdp/src/separate.hpp>

#include <utility>

namespace sdp {

SDP_INLINE assignment::assignment(const model& m, int world)
    : world_(world)
{
    if (world < 1)
        detail::fail("an assignment for ", world, " workers was asked for; expected at least 1");
    m.validate();
    const auto everyone = rank_set::all(world);
    const auto number = sets_.add(everyone);
    for (const auto& g : m.groups()) {
        groups_.push_back({g.name, g.neurons, false, {{0, g.neurons, number}}});
    }
    for (const auto& b : m.blocks())
        blocks_.push_back({b.name, false, number});
}

SDP_INLINE void assignment::assign(group_id id, std::span<const neuron_unit> units)
{
    if (index_of(id) >= groups_.size())
        detail::fail("neuron group number ", index_of(id), " was assigned, but the model has ", groups_.size());
    auto& g = groups_[index_of(id)];
    std::vector<unit> out;
    out.reserve(units.size());
    index_t next = 0;
    for (const auto& u : units) {
        check_continues(g, next, u.begin, u.end);
        check_holders(
            [&] { return detail::text("neuron group '", g.name, "', neurons [", u.begin, ", ", u.end, ")"); }, u.holders);
        out.push_back({u.begin, u.end, sets_.add(u.holders)});
        next = u.end;
    }
    check_end(g, next);
    g.units = std::move(out);
    g.partitioned = true;
}

SDP_INLINE std::uint32_t assignment::add_holders(const rank_set& holders)
{
    check_holders([] { return std::string("a holder set"); }, holders);
    return sets_.add(holders);
}

SDP_INLINE void assignment::assign(group_id id, std::vector<unit> units)
{
    if (index_of(id) >= groups_.size())
        detail::fail("neuron group number ", index_of(id), " was assigned, but the model has ", groups_.size());
    auto& g = groups_[index_of(id)];
    index_t next = 0;
    for (const auto& u : units) {
        check_continues(g, next, u.begin, u.end);
        if (u.holders >= sets_.size())
            detail::fail("neuron group '", g.name, "', neurons [", u.begin, ", ", u.end, ") are held by set number ", u.holders,
                ", but only ", sets_.size(), " sets were added");
        if (u.count < 1)
            detail::fail(
                "neuron group '", g.name, "', neurons [", u.begin, ", ", u.end, ") stand for 0 units; expected at least 1");
        next = u.end;
    }
    check_end(g, next);
    g.units = std::move(units);
    g.partitioned = true;
}

SDP_INLINE void assignment::assign(block_id id, const rank_set& holders)
{
    if (index_of(id) >= blocks_.size())
        detail::fail("block number ", index_of(id), " was assigned, but the model has ", blocks_.size());
    auto& b = blocks_[index_of(id)];
    check_holders([&] { return detail::text("block '", b.name, "'"); }, holders);
    b.holders = sets_.add(holders);
    b.partitioned = true;
}

SDP_INLINE void assignment::check_continues(const group_entry& g, index_t next, index_t begin, index_t end)
{
    if (begin != next || end <= begin)
        detail::fail("neuron group '", g.name, "': unit [", begin, ", ", end, ") does not continue at neuron ", next);
}

SDP_INLINE void assignment::check_end(const group_entry& g, index_t next)
{
    if (next != g.neurons)
        detail::fail("neuron group '", g.name, "': the units end at neuron ", next, ", but it has ", g.neurons);
}

} // namespace sdp
