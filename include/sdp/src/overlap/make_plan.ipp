// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Builds plans.

#include <sdp/overlap/detail/plan_builder.hpp>
#include <sdp/overlap/make_plan.hpp>
#include <sdp/src/separate.hpp>

#include <optional>
#include <span>
#include <vector>

namespace sdp {

SDP_INLINE overlap_plan make_overlap_plan(const model& m, const residency& r, const subnetwork& s)
{
    return detail::plan_builder(m, r, s.rank(), s.rank()).build([&](parameter_id p) { return s.slabs(p); });
}

SDP_INLINE overlap_plan make_assembly_plan(const model& m, const residency& r, int rank)
{
    std::vector<slab> whole;
    for (std::size_t p = 0; p < m.parameters().size(); ++p) {
        auto& s = whole.emplace_back();
        s.parameter = parameter_id(p);
        s.shape = s.full_shape = m.parameters()[p].shape;
        for (const index_t extent : s.shape)
            s.axes.push_back({{0, extent}});
    }
    return detail::plan_builder(m, r, rank, std::nullopt).build([&](parameter_id p) {
        return std::span<const slab>(&whole[index_of(p)], 1);
    });
}

} // namespace sdp
