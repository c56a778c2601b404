// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Neuron-level partition: splits inner dimensions (hidden units, heads, channels) over the workers.

#include <sdp/partition/design.hpp>
#include <sdp/partition/policy.hpp>

#include <range/v3/range/conversion.hpp>
#include <range/v3/view/filter.hpp>
#include <range/v3/view/iota.hpp>
#include <range/v3/view/transform.hpp>

#include <string>

namespace sdp {

/// Gives every run of `granularity` neurons of the selected groups to exactly k = C·N workers; leaves blocks pinned.
///
/// Neurons of a group are interchangeable, so after the holder sets are drawn they are put in order: units with the same
/// holders become neighbours, and what a worker stores and sends is a few long runs however fine the granularity.
///
/// - Complexity: O(U·N) for U units. Memory per worker: C of what is split.
/// - Bytes sent per worker and step: 2C(k−1)/k model sizes under forward masking.
/// - Balance: within one unit in every group; within two where units are so few, U(k−1) < 2(N−1), that connecting the
///   workers has to exchange unlike ones.
/// - Source: the level is the paper's, the design is ours.
///
/// Connected whenever k ≥ 2 and there are units enough, U(k−1) ≥ N−1. Prefer `block_partition` when whole branches may be
/// absent: it saves their activations too.
struct neuron_partition {
    double coverage = 0.5; ///< C = k/N
    index_t granularity = 1; ///< neurons per unit; the last unit of a group may have fewer
    std::uint64_t seed = 0;
    std::string groups = "*"; ///< which groups, by name; `*` and `?` as in a shell

    /// @throws sdp::error if C·N is not a whole number of holders, granularity < 1, or no group is selected
    [[nodiscard]] assignment operator()(const model& m, int world) const;
};

namespace detail {

    /// Draws the holder sets of neuron groups. Loads are carried from group to group, so that what one group cannot
    /// balance the next one does.
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

        /// Adds a group whose units go to `k` of the candidates each. The candidates must outlive the design.
        void add(group_id id, const std::vector<int>& candidates, int k)
        {
            const index_t neurons = model_[id].neurons;
            const double per_neuron = model_.cost_per_neuron(id);
            std::vector<double> load(load_.size(), 0.0);
            first_.push_back(units_.size());
            ids_.push_back(id);
            for (index_t begin = 0; begin < neurons; begin += granularity_) {
                const double cost = static_cast<double>(std::min(granularity_, neurons - begin)) * per_neuron;
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

        /// Connects the workers, orders the units of each group by their holders, and writes them down.
        void write(assignment& out)
        {
            connect(units_, world_);
            first_.push_back(units_.size());
            for (std::size_t g = 0; g < ids_.size(); ++g) {
                const auto begin = units_.begin() + static_cast<std::ptrdiff_t>(first_[g]);
                auto end = units_.begin() + static_cast<std::ptrdiff_t>(first_[g + 1]);
                if (std::prev(end)->cost != begin->cost)
                    --end; // the short unit stays last
                std::sort(begin, end, [](const design_unit& a, const design_unit& b) { return a.holders < b.holders; });
                const index_t neurons = model_[ids_[g]].neurons;
                const auto units = ranges::views::iota(first_[g], first_[g + 1]) | ranges::views::transform([&](std::size_t u) {
                    const index_t at = static_cast<index_t>(u - first_[g]) * granularity_;
                    return neuron_unit {at, std::min(at + granularity_, neurons), rank_set(units_[u].holders)};
                }) | ranges::to<std::vector>();
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

    /// The groups whose names match.
    /// @throws sdp::error if there is none
    [[nodiscard]] inline std::vector<group_id> select_groups(const model& m, const std::string& pattern)
    {
        auto out = ranges::views::iota(std::size_t {0}, m.groups().size())
            | ranges::views::filter([&](std::size_t g) { return matches(pattern, m.groups()[g].name); })
            | ranges::views::transform([](std::size_t g) { return group_id(g); }) | ranges::to<std::vector>();
        if (out.empty())
            fail(m.groups().empty() ? "there is nothing to split for a neuron partition: " : "", "no neuron group is called '",
                pattern, "'; the model declares ", m.groups().size(), " groups");
        return out;
    }

} // namespace detail

inline assignment neuron_partition::operator()(const model& m, int world) const
{
    assignment out(m, world);
    const int k = holders_for(coverage, world);
    const auto everyone = rank_set::all(world).ranks();
    detail::neuron_design design(m, world, granularity, seed);
    for (const group_id id : detail::select_groups(m, groups))
        design.add(id, everyone, k);
    design.write(out);
    return out;
}

} // namespace sdp
