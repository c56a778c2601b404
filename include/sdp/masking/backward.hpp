// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Backward masking: the forward is whole, but only what a worker holds gets gradients and optimizer state.

#include <sdp/masking/regime.hpp>

namespace sdp {

/// Stored by all, trained by the holders.
///
/// Gradient of worker i: g_i = M_i ∇f_i(θ), an unbiased estimate on the coordinates it holds. Memory per worker: all values,
/// C of gradients and optimizer state. Traffic per worker and step: C(k−1)/k + (N−1)/N model sizes, because non-holders need
/// the fresh values for their next forward. Prefer it to `forward_masking` when bias is not acceptable. Source: regime:
/// paper; how the values get back: ours.
struct backward_masking {
    static constexpr bool by_holders_alone = true;
    [[nodiscard]] rank_set stored_by(const unit_view& unit) const { return rank_set::all(unit.world); }
    [[nodiscard]] rank_set trained_by(const unit_view& unit) const { return unit.holders; }
};

} // namespace sdp
