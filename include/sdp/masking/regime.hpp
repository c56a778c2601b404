// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The concept of a masking regime, which decides the storers and the trainers of a unit.
///
/// | regime             | stored by | trained by | prefer it when                                                       |
/// |--------------------|-----------|------------|----------------------------------------------------------------------|
/// | `forward_masking`  | holders   | holders    | memory, traffic and compute should all shrink; acts as a regulariser |
/// | `backward_masking` | all       | holders    | gradients must stay unbiased; saves gradient and optimizer memory    |

#include <sdp/partition/rank_set.hpp>

#include <concepts>
#include <string_view>

namespace sdp {

/// A unit, as a regime sees it.
struct unit_view {
    std::string_view name; ///< of the neuron group or the block
    bool is_block = false;
    const rank_set& holders;
    int world = 1;
};

/// Decides for a unit which workers store its value, and which train it (gradient and optimizer state).
///
/// | expression        | result     | meaning                                                 |
/// |-------------------|------------|---------------------------------------------------------|
/// | `r.stored_by(u)`  | `rank_set` | workers that keep the unit's value for the forward pass |
/// | `r.trained_by(u)` | `rank_set` | workers that compute its gradient and apply updates     |
///
/// Semantics the compiler cannot check: `r` is a pure function of `u`; all trainers also store; there is at least one trainer. An
/// element that lies in several units (a block and a neuron group, two groups) is stored, or trained, by the workers that store,
/// or train, all of them.
///
/// @snippet examples/own_regime.cpp regime
template <class R>
concept masking_regime = requires(const R& r, const unit_view& u)
{
    {
        r.stored_by(u)
        } -> std::convertible_to<rank_set>;
    {
        r.trained_by(u)
        } -> std::convertible_to<rank_set>;
};

/// A regime that declares `static constexpr bool by_holders_alone = true` promises to depend only on a unit's holders and the
/// world size. It is then called once per holder set instead of once per unit, which saves noticeable time for a large model.
template <class R>
inline constexpr bool by_holders_alone = [] {
    if constexpr (requires {
                      {
                          R::by_holders_alone
                          } -> std::convertible_to<bool>;
                  })
        return static_cast<bool>(R::by_holders_alone);
    else
        return false;
}();

} // namespace sdp
