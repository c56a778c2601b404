// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The weights of the workers' gradients in a step, and the divisor of their sum, class by class.

#include <sdp/overlap/plan.hpp>
#include <sdp/synchronizer_options.hpp>

#include <cstddef>
#include <span>
#include <vector>

namespace sdp::detail {

/// @throws sdp::input_error on a weight that is negative or not finite, naming its rank, or if all are 0
void check_weights(std::span<const double> weights);

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
    void begin(std::span<const double> weights);

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

#ifndef SDP_SEPARATE_COMPILATION
#include <sdp/src/detail/exchange/step_weights.ipp>
#endif
