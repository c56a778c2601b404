// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The weights of the workers' gradients in a step, and the divisor of their sum, class by class.

#include <sdp/overlap/plan.hpp>
#include <sdp/synchronizer_options.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

namespace sdp::detail {

/// @throws sdp::error on a weight that is negative or not finite, naming its rank, or if all are 0
inline void check_weights(std::span<const double> weights)
{
    for (std::size_t r = 0; r < weights.size(); ++r)
        if (!(weights[r] >= 0) || !std::isfinite(weights[r]))
            fail("rank ", r, " gave its gradients the weight ", weights[r], "; expected a finite number ≥ 0");
    if (std::ranges::all_of(weights, [](double w) { return w == 0; }))
        fail("all ranks gave their gradients the weight 0; expected at least one weight above 0");
}

class step_weights {
public:
    step_weights(const overlap_plan& plan, normalizer over)
        : plan_(&plan)
        , over_(over)
        , divisors_(plan.classes.size())
        , scales_(plan.classes.size())
    {
    }

    /// Begins a step. `weights` are by rank, or empty for the plain mean, and must live until the step is done.
    void begin(std::span<const double> weights)
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

    [[nodiscard]] bool weighted() const noexcept { return !weights_.empty(); }
    /// Divisor of the sum of a class; 0 if all of its trainers have weight 0.
    [[nodiscard]] double divisor(std::uint32_t sharing_class) const noexcept { return divisors_[sharing_class]; }
    /// Factor of the ranks' weights.
    [[nodiscard]] double scale(std::uint32_t sharing_class) const noexcept { return scales_[sharing_class]; }
    [[nodiscard]] double weight(int rank, std::uint32_t sharing_class) const noexcept
    {
        return weights_.empty() ? 1.0 : weights_[static_cast<std::size_t>(rank)] * scales_[sharing_class];
    }
    /// True if the mean over a class with one trainer equals that trainer's gradient, bit by bit.
    [[nodiscard]] bool is_mean_of_one(std::uint32_t sharing_class) const noexcept
    {
        return over_ == normalizer::holders && divisors_[sharing_class] > 0;
    }

private:
    const overlap_plan* plan_;
    normalizer over_;
    std::span<const double> weights_;
    std::vector<double> divisors_;
    std::vector<double> scales_; ///< factors of the weights
};

} // namespace sdp::detail
