// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The assignment: the holders of every unit of a model, as a partition policy makes them.

#include <sdp/model.hpp>
#include <sdp/partition/rank_set.hpp>

#include <algorithm>
#include <compare>
#include <cstdint>
#include <span>
#include <vector>

namespace sdp {

/// Consecutive neurons of one group, assigned as a whole.
struct neuron_unit {
    index_t begin = 0; ///< first neuron
    index_t end = 0; ///< one past the last
    rank_set holders;
    friend bool operator==(const neuron_unit&, const neuron_unit&) = default;
};

/// The holders of every unit of a model, a plain value. A new assignment holds everything pinned: all workers hold all units.
///
/// Every worker computes the same assignment, without communication.
class assignment {
public:
    /// Assigns every unit to all `world` workers.
    /// @throws sdp::error if `world` < 1 or the model is not valid
    assignment(const model& m, int world)
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

    /// A unit as stored: its neurons and the number of its holder set. An entry usually is one unit. A design with many units and
    /// few holder sets merges neighbouring units of the same holders into one entry.
    struct unit {
        index_t begin = 0;
        index_t end = 0;
        std::uint32_t holders = 0;
        std::uint32_t count = 1; ///< units in this entry
        friend bool operator==(const unit&, const unit&) = default;
    };

    /// Splits a group into units that cover its neurons in order, without gaps.
    /// @throws sdp::error if the units leave a gap, or a unit has no holder or a holder outside the world
    void assign(group_id id, std::span<const neuron_unit> units)
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

    /// Adds a holder set and returns its number, by which `assign` refers to it. Serves designs with few sets and many units.
    /// @throws sdp::error if the set is empty or contains a rank outside the world
    std::uint32_t add_holders(const rank_set& holders)
    {
        check_holders([] { return std::string("a holder set"); }, holders);
        return sets_.add(holders);
    }

    /// Splits a group into units whose holder sets `add_holders` has numbered.
    /// @throws sdp::error if the units do not cover the group, or no holder set has such a number
    void assign(group_id id, std::vector<unit> units)
    {
        if (index_of(id) >= groups_.size())
            detail::fail("neuron group number ", index_of(id), " was assigned, but the model has ", groups_.size());
        auto& g = groups_[index_of(id)];
        index_t next = 0;
        for (const auto& u : units) {
            check_continues(g, next, u.begin, u.end);
            if (u.holders >= sets_.size())
                detail::fail("neuron group '", g.name, "', neurons [", u.begin, ", ", u.end, ") are held by set number ",
                    u.holders, ", but only ", sets_.size(), " sets were added");
            if (u.count < 1)
                detail::fail(
                    "neuron group '", g.name, "', neurons [", u.begin, ", ", u.end, ") stand for 0 units; expected at least 1");
            next = u.end;
        }
        check_end(g, next);
        g.units = std::move(units);
        g.partitioned = true;
    }

    /// Assigns a block to its holders.
    /// @throws sdp::error if `holders` is empty or contains a rank outside the world
    void assign(block_id id, const rank_set& holders)
    {
        if (index_of(id) >= blocks_.size())
            detail::fail("block number ", index_of(id), " was assigned, but the model has ", blocks_.size());
        auto& b = blocks_[index_of(id)];
        check_holders([&] { return detail::text("block '", b.name, "'"); }, holders);
        b.holders = sets_.add(holders);
        b.partitioned = true;
    }

    [[nodiscard]] int world() const noexcept { return world_; }

    /// The distinct holder sets, by number. Some may belong to no unit any more, after a second `assign`.
    [[nodiscard]] const rank_set& holders(std::uint32_t number) const noexcept { return sets_[number]; }
    [[nodiscard]] std::size_t holder_set_count() const noexcept { return sets_.size(); }
    [[nodiscard]] std::uint32_t holders_number(block_id id) const noexcept { return blocks_[index_of(id)].holders; }

    /// The units of a group. A pinned group is one unit that all workers hold.
    [[nodiscard]] std::span<const unit> units(group_id id) const noexcept { return groups_[index_of(id)].units; }
    [[nodiscard]] const rank_set& holders(const unit& u) const noexcept { return sets_[u.holders]; }
    [[nodiscard]] const rank_set& holders(block_id id) const noexcept { return sets_[blocks_[index_of(id)].holders]; }

    /// True if a policy has assigned this group or block. It is pinned otherwise.
    [[nodiscard]] bool partitioned(group_id id) const noexcept { return groups_[index_of(id)].partitioned; }
    [[nodiscard]] bool partitioned(block_id id) const noexcept { return blocks_[index_of(id)].partitioned; }

    [[nodiscard]] std::size_t group_count() const noexcept { return groups_.size(); }
    [[nodiscard]] std::size_t block_count() const noexcept { return blocks_.size(); }

    friend bool operator==(const assignment& a, const assignment& b)
    {
        if (a.world_ != b.world_ || a.groups_.size() != b.groups_.size() || a.blocks_.size() != b.blocks_.size())
            return false;
        for (std::size_t i = 0; i < a.blocks_.size(); ++i)
            if (a.sets_[a.blocks_[i].holders] != b.sets_[b.blocks_[i].holders])
                return false;
        for (std::size_t g = 0; g < a.groups_.size(); ++g) {
            const auto& x = a.groups_[g].units;
            const auto& y = b.groups_[g].units;
            if (!std::ranges::equal(x, y, [&](const unit& u, const unit& v) {
                    return u.begin == v.begin && u.end == v.end && a.sets_[u.holders] == b.sets_[v.holders];
                }))
                return false;
        }
        return true;
    }

private:
    struct group_entry {
        std::string name;
        index_t neurons;
        bool partitioned;
        std::vector<unit> units;
    };
    struct block_entry {
        std::string name;
        bool partitioned;
        std::uint32_t holders;
    };

    template <class What> void check_holders(What what, const rank_set& holders) const
    {
        if (holders.empty())
            detail::fail(what(), " has no holder; expected at least one");
        if (holders.intervals().back().end > world_)
            detail::fail(what(), " is held by ranks ", holders.ranks(), ", but the world has ", world_, " workers");
    }
    static void check_continues(const group_entry& g, index_t next, index_t begin, index_t end)
    {
        if (begin != next || end <= begin)
            detail::fail("neuron group '", g.name, "': unit [", begin, ", ", end, ") does not continue at neuron ", next);
    }
    static void check_end(const group_entry& g, index_t next)
    {
        if (next != g.neurons)
            detail::fail("neuron group '", g.name, "': the units end at neuron ", next, ", but it has ", g.neurons);
    }

    int world_;
    detail::number_table<rank_set> sets_; ///< far fewer than units
    std::vector<group_entry> groups_;
    std::vector<block_entry> blocks_;
};

} // namespace sdp
