// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Holder sets with their weights: balance and connectivity depend on nothing else.

#include <sdp/partition/assignment.hpp>

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

namespace sdp::detail {

/// The holder sets of all units that a policy assigned, and the weight of each.
struct weighted_sets {
    std::vector<const rank_set*> sets;
    std::vector<double> weights;
};

/// `of_units(group, unit)` and `of_block(block)` return the weights that are summed for each set.
template <class Units, class Block> [[nodiscard]] weighted_sets weigh(const assignment& a, Units of_units, Block of_block)
{
    std::vector<double> by_number(a.holder_set_count(), 0.0);
    std::vector<std::uint32_t> order; // in order of first use, so that sums do not depend on the numbers of the sets
    const auto add = [&](std::uint32_t number, double weight) {
        if (by_number[number] == 0)
            order.push_back(number);
        by_number[number] += weight;
    };
    for (std::size_t g = 0; g < a.group_count(); ++g)
        if (a.partitioned(group_id(g)))
            for (const auto& u : a.units(group_id(g)))
                add(u.holders, of_units(group_id(g), u));
    for (std::size_t b = 0; b < a.block_count(); ++b)
        if (a.partitioned(block_id(b)))
            add(a.holders_number(block_id(b)), of_block(block_id(b)));
    weighted_sets out;
    for (const auto number : order) {
        out.sets.push_back(&a.holders(number));
        out.weights.push_back(by_number[number]);
    }
    return out;
}

/// Weighs the holder set of each partitioned unit by the number of its units.
[[nodiscard]] inline weighted_sets count_units(const assignment& a)
{
    return weigh(
        a, [](group_id, const assignment::unit& u) { return static_cast<double>(u.count); }, [](block_id) { return 1.0; });
}

/// Sums for each worker the weights of its sets. Linear in intervals and workers.
[[nodiscard]] inline std::vector<double> spread(const weighted_sets& w, std::size_t world)
{
    std::vector<double> out(world + 1, 0.0);
    for (std::size_t s = 0; s < w.sets.size(); ++s)
        for (const auto& i : w.sets[s]->intervals()) {
            out[static_cast<std::size_t>(i.begin)] += w.weights[s];
            out[static_cast<std::size_t>(i.end)] -= w.weights[s];
        }
    std::partial_sum(out.begin(), out.end(), out.begin());
    out.pop_back();
    return out;
}

} // namespace sdp::detail
