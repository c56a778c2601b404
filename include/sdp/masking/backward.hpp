// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Backward masking: the forward pass uses all values, and a worker has gradients and optimizer state only for the units
/// it holds.

#include <sdp/masking/regime.hpp>

namespace sdp {

/// All workers store a unit; its holders train it.
///
/// Gradient of worker i: g_i = M_i ∇f_i(θ), an unbiased estimate on the coordinates it holds. Memory per worker: all values, C of
/// gradients and optimizer state. Traffic per worker and step: C(k−1)/k + (N−1)/N model sizes, because non-holders need the fresh
/// values for their next forward pass. Prefer it to `forward_masking` when bias is not acceptable. Source: the paper defines the
/// regime; the transfer of new values to non-holders is ours.
struct backward_masking {
    static constexpr bool by_holders_alone = true;
    [[nodiscard]] rank_set stored_by(const unit_view& unit) const { return rank_set::all(unit.world); }
    [[nodiscard]] rank_set trained_by(const unit_view& unit) const { return unit.holders; }
};

} // namespace sdp
