// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Chooses the holders of neurons.

#include <sdp/partition/detail/balanced_design.hpp>
#include <sdp/partition/detail/dealt_design.hpp>
#include <sdp/partition/detail/number_table.hpp>
#include <sdp/partition/detail/selection.hpp>
#include <sdp/partition/neuron.hpp>
#include <sdp/src/separate.hpp>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

namespace sdp::detail {

/// Draws the holder sets of neuron groups. Carries loads from group to group, so that a later group balances the remainder of
/// an earlier one.
class neuron_design {
public:
    neuron_design(const model& m, int world, index_t granularity, std::uint64_t seed)
        : model_(m)
        , world_(world)
        , granularity_(granularity)
        , random_(seed)
        , load_(static_cast<std::size_t>(world), 0.0)
    {
        if (granularity < 1)
            fail("granularity is ", granularity, " neurons; expected at least 1");
    }

    /// Adds a group whose units are assigned to `k` of the candidates each. The candidates must outlive the design.
    void add(group_id id, const std::vector<int>& candidates, int k)
    {
        const index_t neurons = model_[id].neurons;
        const double per_neuron = model_.cost_per_neuron(id);
        std::vector<double> load(load_.size(), 0.0);
        first_.push_back(units_.size());
        ids_.push_back(id);
        for (index_t begin = 0; begin < neurons; begin += granularity_) {
            const double cost = static_cast<double>((std::min)(granularity_, neurons - begin)) * per_neuron;
            auto holders = choose_first(candidates, k, random_, [&](int a, int b) {
                const auto x = static_cast<std::size_t>(a), y = static_cast<std::size_t>(b);
                return load[x] != load[y] ? load[x] < load[y] : load_[x] < load_[y];
            });
            for (const int rank : holders) {
                load[static_cast<std::size_t>(rank)] += cost;
                load_[static_cast<std::size_t>(rank)] += cost;
            }
            units_.push_back({cost, index_of(id), std::move(holders), &candidates});
        }
    }

    /// Connects the workers, sorts the units of each group by their holders, and writes them into the assignment.
    void write(assignment& out)
    {
        connect(units_, world_);
        first_.push_back(units_.size());
        for (std::size_t g = 0; g < ids_.size(); ++g) {
            const auto begin = units_.begin() + static_cast<std::ptrdiff_t>(first_[g]);
            auto end = units_.begin() + static_cast<std::ptrdiff_t>(first_[g + 1]);
            if (std::prev(end)->cost != begin->cost)
                --end; // the last unit may be shorter and remains last
            std::sort(begin, end, [](const design_unit& a, const design_unit& b) { return a.holders < b.holders; });
            const index_t neurons = model_[ids_[g]].neurons;
            std::vector<neuron_unit> units;
            for (std::size_t u = first_[g]; u < first_[g + 1]; ++u) {
                const index_t at = static_cast<index_t>(u - first_[g]) * granularity_;
                units.push_back({at, (std::min)(at + granularity_, neurons), rank_set(units_[u].holders)});
            }
            out.assign(ids_[g], units);
        }
    }

private:
    const model& model_;
    int world_;
    index_t granularity_;
    portable_random random_;
    std::vector<double> load_;
    std::vector<design_unit> units_;
    std::vector<std::size_t> first_;
    std::vector<group_id> ids_;
};

/// Deals the units of neuron groups to the holder sets of a bounded design. Groups with the same candidates share one design,
/// which keeps peers few. Dealing continues from group to group among units of equal cost, so that a later group balances the
/// remainder of an earlier one.
class neuron_dealer {
public:
    neuron_dealer(const model& m, const neuron_partition& policy)
        : model_(m)
        , policy_(policy)
        , random_(policy.seed)
    {
        if (policy.granularity < 1)
            fail("granularity is ", policy.granularity, " neurons; expected at least 1");
        check_divisions(policy.design, policy.divisions);
    }

    /// Adds a group whose units are assigned to `k` of the candidates each.
    void add(group_id id, const rank_set& candidates, int k)
    {
        const auto number = candidates_.add(candidates);
        if (number == tables_.size())
            tables_.push_back({k, {}});
        const index_t neurons = model_[id].neurons, unit = (std::min)(policy_.granularity, neurons);
        const double cost = static_cast<double>(unit) * model_.cost_per_neuron(id);
        auto& kinds = tables_[number].kinds;
        const auto same = std::find_if(kinds.begin(), kinds.end(), [&](const kind& x) { return x.cost == cost; });
        const auto at = static_cast<std::size_t>(same - kinds.begin());
        if (same == kinds.end())
            kinds.push_back({cost, 0, 0});
        const auto units = static_cast<std::uint64_t>((neurons + unit - 1) / unit);
        kinds[at].units += units;
        groups_.push_back({id, number, at, units});
    }

    /// Number of units of all groups.
    [[nodiscard]] std::uint64_t units() const
    {
        std::uint64_t out = 0;
        for (const auto& g : groups_)
            out += g.units;
        return out;
    }

    void write(assignment& out)
    {
        std::vector<dealt_order> orders;
        for (std::uint32_t t = 0; t < tables_.size(); ++t) {
            std::uint64_t units = 0;
            for (auto& k : tables_[t].kinds) { // side by side: few units of several kinds then reach different sets
                k.next = units;
                units += k.units;
            }
            const auto workers = candidates_[t].ranks();
            auto& l = orders.emplace_back(dealt_order {
                make_deal_order(policy_.design, workers, tables_[t].holders, policy_.divisions, units, random_), {}});
            for (const auto& set : l.sets.sets)
                l.numbers.push_back(out.add_holders(set));
        }
        for (const auto& g : groups_)
            write_group(out, g, orders[g.table]);
    }

private:
    struct kind {
        double cost;
        std::uint64_t units; ///< of all groups
        std::uint64_t next; ///< position of the next unit in the sequence
    };
    struct table {
        int holders;
        std::vector<kind> kinds;
    };
    struct group {
        group_id id;
        std::uint32_t table;
        std::size_t kind;
        std::uint64_t units;
    };
    struct dealt_order {
        deal_order sets;
        std::vector<std::uint32_t> numbers; ///< by set: its number in the assignment
    };

    /// Counts the units of each set, then gives every set its units side by side.
    void write_group(assignment& out, const group& g, const dealt_order& l)
    {
        const auto& sequence = l.sets.sequence;
        auto& first = tables_[g.table].kinds[g.kind].next;
        const index_t neurons = model_[g.id].neurons, unit = (std::min)(policy_.granularity, neurons);
        const bool short_last = neurons % unit != 0; // the last unit may be shorter and remains last
        const std::uint64_t whole = g.units - (short_last ? 1 : 0);
        counts_.assign(l.sets.sets.size(), 0);
        if (const auto times = whole / sequence.size(); times > 0)
            for (const auto set : sequence)
                counts_[set] += times;
        for (std::uint64_t i = 0; i < whole % sequence.size(); ++i)
            ++counts_[sequence[(first + i) % sequence.size()]];
        std::vector<assignment::unit> units;
        index_t begin = 0;
        for (std::size_t set = 0; set < counts_.size(); ++set)
            if (counts_[set] > 0) {
                const auto end = begin + static_cast<index_t>(counts_[set]) * unit;
                units.push_back({begin, end, l.numbers[set], static_cast<std::uint32_t>(counts_[set])});
                begin = end;
            }
        if (short_last)
            units.push_back({begin, neurons, l.numbers[sequence[(first + whole) % sequence.size()]], 1});
        out.assign(g.id, std::move(units));
        first += g.units;
    }

    const model& model_;
    const neuron_partition& policy_;
    portable_random random_;
    number_table<rank_set> candidates_;
    std::vector<table> tables_; ///< by number of the candidate set
    std::vector<group> groups_;
    std::vector<std::uint64_t> counts_;
};

} // namespace sdp::detail

namespace sdp {

SDP_INLINE assignment neuron_partition::operator()(const model& m, int world) const
{
    assignment out(m, world);
    const int k = holders_for(coverage, holders, world);
    if (design != holder_design::random) {
        detail::neuron_dealer dealer(m, *this);
        for (const group_id id : detail::select_groups(m, groups))
            dealer.add(id, rank_set::all(world), k);
        detail::check_reach(design, dealer.units(), k, world);
        dealer.write(out);
        return out;
    }
    const auto everyone = rank_set::all(world).ranks();
    detail::neuron_design drawn(m, world, granularity, seed);
    for (const group_id id : detail::select_groups(m, groups))
        drawn.add(id, everyone, k);
    drawn.write(out);
    return out;
}

} // namespace sdp
