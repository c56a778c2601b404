// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Splits blocks, and the neurons inside each over its holders.

#include <sdp/partition/detail/selection.hpp>
#include <sdp/partition/nested.hpp>
#include <sdp/src/partition/neuron.ipp>
#include <sdp/src/separate.hpp>

#include <deque>
#include <vector>

namespace sdp {

SDP_INLINE assignment nested_partition::operator()(const model& m, int world) const
{
    auto out = outer(m, world);
    if (inner.design != holder_design::random) {
        detail::neuron_dealer dealer(m, inner);
        for (const group_id id : detail::select_groups(m, inner.groups)) {
            const auto within = m.enclosing_block(id);
            const auto workers = within ? out.holders(*within) : rank_set::all(world);
            dealer.add(id, workers, holders_for(inner.coverage, inner.holders, workers.size()));
        }
        dealer.write(out);
        return out;
    }
    std::deque<std::vector<int>> candidates; // a deque keeps addresses stable: the design refers to them
    detail::neuron_design design(m, world, inner.granularity, inner.seed);
    for (const group_id id : detail::select_groups(m, inner.groups)) {
        const auto within = m.enclosing_block(id);
        candidates.push_back(within ? out.holders(*within).ranks() : rank_set::all(world).ranks());
        design.add(id, candidates.back(), holders_for(inner.coverage, inner.holders, static_cast<int>(candidates.back().size())));
    }
    design.write(out);
    return out;
}

} // namespace sdp
