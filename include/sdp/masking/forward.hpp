// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Forward masking: a worker's forward pass, backward pass and update leave out the units it does not hold.

#include <sdp/masking/regime.hpp>

namespace sdp {

/// The holders of a unit store and train it; no other worker does.
///
/// Gradient of worker i: g_i = M_i ∇f_i(M_i θ). Memory per worker: C of values, gradients and optimizer state. Traffic per worker
/// and step: 2C(k−1)/k model sizes. The masked forward pass makes the mean gradient a biased estimate of the full model's; the
/// paper finds that this regularises. Prefer it to `backward_masking` when memory or compute is scarce. Source: paper.
struct forward_masking {
    static constexpr bool by_holders_alone = true;
    [[nodiscard]] rank_set stored_by(const unit_view& unit) const { return unit.holders; }
    [[nodiscard]] rank_set trained_by(const unit_view& unit) const { return unit.holders; }
};

} // namespace sdp
