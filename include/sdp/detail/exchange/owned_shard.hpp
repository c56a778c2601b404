// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The owned shard: the elements that a worker owns, as a flat array, and copies between it and the tensors.

#include <sdp/detail/elements/element_dispatch.hpp>
#include <sdp/detail/elements/local_tensor.hpp>
#include <sdp/model.hpp>
#include <sdp/overlap/plan.hpp>
#include <sdp/synchronizer_options.hpp>
#include <sdp/traffic.hpp>

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace sdp::detail {

/// Calls `visit(parameter, piece)` for every owned piece, in order of declaration.
template <class Visit> void for_each_owned(const overlap_plan& plan, Visit visit)
{
    for (std::size_t p = 0; p + 1 < plan.first_piece.size(); ++p)
        for (const auto& piece : plan.of(p))
            if (plan.owner_of(piece) == plan.rank)
                visit(p, piece);
}

/// The range of each parameter in the flat shard.
[[nodiscard]] std::vector<owned_range> owned_ranges(const overlap_plan& plan);

/// The sum of squares of the gradients that this worker owns, and the first parameter with a sum that is not finite, or the
/// number of parameters if there is none.
[[nodiscard]] std::pair<double, std::size_t> owned_square_norm(const overlap_plan& plan, std::span<const tensor_view> gradients);

enum class shard_copy : std::uint8_t { from_tensors, to_tensors };

enum class owned_kind : std::uint8_t { gradients, values };

/// @throws sdp::input_error unless the shard has the length and element type of the owned elements, is contiguous, and is in
/// `space`
void check_shard(const overlap_plan& plan, const model& m, const tensor_view& shard, memory_space space);

/// Copies between a flat shard and the tensors that `tensor_of(parameter, slab)` returns.
template <class TensorOf>
void copy_owned(const overlap_plan& plan, const tensor_view& shard, shard_copy direction, TensorOf tensor_of)
{
    with_storage_type(shard.type, [&]<class T>(T) {
        T* at = static_cast<T*>(shard.data);
        for_each_owned(plan, [&](std::size_t p, const overlap_piece& piece) {
            const tensor_view view = tensor_of(parameter_id(p), piece.slab);
            const local_tensor<T> local(view);
            if (direction == shard_copy::to_tensors)
                local.scatter(plan, piece, at);
            else
                local.gather(plan, piece, at);
            at += plan.size_of(piece);
        });
    });
}

} // namespace sdp::detail

#ifndef SDP_SEPARATE_COMPILATION
#include <sdp/src/detail/exchange/owned_shard.ipp>
#endif
