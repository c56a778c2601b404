// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Weighs the gradients of a step.

#include <sdp/detail/exchange/step_weights.hpp>
#include <sdp/src/separate.hpp>

#include <algorithm>
#include <cmath>

namespace sdp::detail {

SDP_INLINE void check_weights(std::span<const double> weights)
{
    for (std::size_t r = 0; r < weights.size(); ++r)
        if (!(weights[r] >= 0) || !std::isfinite(weights[r]))
            fail("rank ", r, " gave its gradients the weight ", weights[r], "; expected a finite number ≥ 0");
    if (std::ranges::all_of(weights, [](double w) { return w == 0; }))
        fail("all ranks gave their gradients the weight 0; expected at least one weight above 0");
}

SDP_INLINE void step_weights::begin(std::span<const double> weights)
{
    weights_ = weights;
    const bool among_holders = over_ == normalizer::holders;
    for (std::size_t i = 0; i < divisors_.size(); ++i) {
        const auto& trainers = plan_->classes[i].trainers;
        scales_[i] = 1;
        if (weights.empty()) {
            divisors_[i] = among_holders ? static_cast<double>(trainers.size()) : static_cast<double>(plan_->world);
            continue;
        }
        double largest = 0;
        for (const int rank : trainers)
            largest = (std::max)(largest, weights[static_cast<std::size_t>(rank)]);
        // Scales by a power of two, which changes no bit of the result, into the range of every element type.
        int exponent = 0;
        std::frexp(largest, &exponent);
        scales_[i] = std::ldexp(1.0, -exponent);
        double sum = 0;
        if (among_holders)
            for (const int rank : trainers)
                sum += weights[static_cast<std::size_t>(rank)] * scales_[i];
        else
            for (const double w : weights)
                sum += w * scales_[i];
        divisors_[i] = largest > 0 ? sum : 0;
    }
}

} // namespace sdp::detail
