// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Nested partition: splits blocks over the workers, and the neurons inside a block over the block's holders.

#include <sdp/partition/block.hpp>
#include <sdp/partition/neuron.hpp>

namespace sdp {

/// Splits blocks first, then splits the neuron groups inside each block among the block's holders, so every element has a holder.
/// Two independent draws would intersect their holder sets, and the intersection is often empty.
///
/// `inner.coverage` is relative to the block's holders: outer 1/2 and inner 1/2 of 8 workers give 4 holders per block and 2 per
/// unit inside the block, as `holders` 4 and 2 do. A selected group outside every split block is split over all workers.
///
/// With `cells` or `cyclic` as the inner design, blocks with the same holders share one design, so bounded designs on both levels
/// leave a worker few peers. All holders of a block still exchange the elements of the block that lie on no group.
///
/// Complexity and balance are those of `block_partition` and `neuron_partition`. Source: the paper defines the levels; the
/// nesting is ours.
struct nested_partition {
    block_partition outer;
    neuron_partition inner;

    /// @throws sdp::input_error as the two policies do, and if the inner coverage gives no whole number of a block's holders
    [[nodiscard]] assignment operator()(const model& m, int world) const;
};

} // namespace sdp

#ifndef SDP_SEPARATE_COMPILATION
#include <sdp/src/partition/nested.ipp>
#endif
