// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Lists the elements that a worker owns, and sums the squares of their gradients.

#include <sdp/detail/elements/element_dispatch.hpp>
#include <sdp/detail/elements/square_sums.hpp>
#include <sdp/detail/exchange/owned_shard.hpp>
#include <sdp/src/separate.hpp>

#include <cmath>

namespace sdp::detail {

SDP_INLINE std::vector<owned_range> owned_ranges(const overlap_plan& plan)
{
    std::vector<owned_range> out;
    for_each_owned(plan, [&](std::size_t p, const overlap_piece& piece) {
        if (out.empty() || out.back().parameter != parameter_id(p))
            out.push_back({parameter_id(p), out.empty() ? 0 : out.back().offset + out.back().size, 0});
        out.back().size += static_cast<index_t>(plan.size_of(piece));
    });
    return out;
}

SDP_INLINE std::pair<double, std::size_t> owned_square_norm(const overlap_plan& plan, std::span<const tensor_view> gradients)
{
    double sum = 0;
    std::size_t nonfinite_parameter = gradients.size();
    for_each_owned(plan, [&](std::size_t p, const overlap_piece& piece) {
        with_element_type(gradients[p].type, [&]<class T>(T) {
            for_each_square_sum(plan, piece, local_tensor<T>(gradients[p]), [&](double part) {
                if (!std::isfinite(part) && nonfinite_parameter == gradients.size())
                    nonfinite_parameter = p;
                sum += part;
            });
        });
    });
    return {sum, nonfinite_parameter};
}

SDP_INLINE void check_shard(const overlap_plan& plan, const model& m, const tensor_view& shard, memory_space space)
{
    index_t size = 0;
    for_each_owned(plan, [&](std::size_t, const overlap_piece& piece) { size += static_cast<index_t>(plan.size_of(piece)); });
    if (shard.space != space || !shard.contiguous() || shard.size() != size)
        fail("the flat shard on rank ", plan.rank, " has shape ", shard.shape, "; expected ", size, " consecutive elements in ",
            space == memory_space::host ? "host" : "device", " memory");
    for_each_owned(plan, [&](std::size_t p, const overlap_piece&) {
        if (const auto& parameter = m.parameters()[p]; parameter.type() != shard.type)
            fail("parameter '", parameter.name, "' holds ", name_of(parameter.type()), ", the flat shard ", name_of(shard.type),
                "; a shard has one element type");
    });
}

} // namespace sdp::detail
