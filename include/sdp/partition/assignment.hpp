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
    /// @throws sdp::input_error if `world` < 1 or the model is not valid
    assignment(const model& m, int world);

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
    /// @throws sdp::input_error if the units leave a gap, or a unit has no holder or a holder outside the world
    void assign(group_id id, std::span<const neuron_unit> units);

    /// Adds a holder set and returns its number, by which `assign` refers to it. Serves designs with few sets and many units.
    /// @throws sdp::input_error if the set is empty or contains a rank outside the world
    std::uint32_t add_holders(const rank_set& holders);

    /// Splits a group into units whose holder sets `add_holders` has numbered.
    /// @throws sdp::input_error if the units do not cover the group, or no holder set has such a number
    void assign(group_id id, std::vector<unit> units);

    /// Assigns a block to its holders.
    /// @throws sdp::input_error if `holders` is empty or contains a rank outside the world
    void assign(block_id id, const rank_set& holders);

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
    static void check_continues(const group_entry& g, index_t next, index_t begin, index_t end);
    static void check_end(const group_entry& g, index_t next);

    int world_;
    detail::number_table<rank_set> sets_; ///< far fewer than units
    std::vector<group_entry> groups_;
    std::vector<block_entry> blocks_;
};

} // namespace sdp

#ifndef SDP_SEPARATE_COMPILATION
#include <sdp/src/partition/assignment.ipp>
#endif
