// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Compares the directions of gradients of parts of a model with the whole model's.
///
/// Needs the full model at one worker and talks to nobody: a policy is a function of the model and the world size, so one
/// worker can put itself in the place of each of the others, cut its part out of the full model, and read its data.

#include "common/model/task.hpp"
#include "common/settings/options.hpp"

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace trainer {

/// Estimates the squared length of an expectation from independent draws, without bias: from the products of different ones.
class squared_expectation {
public:
    /// @param x a draw, of any floating-point type; all of one shape
    void add(const at::Tensor& x);
    /// Needs two draws. May be negative.
    [[nodiscard]] double value() const;

private:
    at::Tensor sum_;
    double squares_ = 0;
    int draws_ = 0;
};

/// Angles and distances between gradients, over the elements of maskable parameters, for several draws of data.
struct alignment {
    /// Cosine between a worker's gradient and the full model's on the same batch, over what the worker holds; mean over
    /// workers and draws.
    double to_full = 0;
    /// Cosine between the gradients of two workers over what both hold; mean over the pairs that hold something in common.
    double pairwise = 0;
    /// Length of the expectation of (mean over holders − full gradient) over data, for the run's own masks, relative to the
    /// length of the expectation of the full gradient. Both squares are estimated without bias; a negative estimate of the
    /// first counts as 0, and of the second gives infinity.
    double bias = 0;
    /// The same where masks are drawn along with the data: what is left of the bias when no masks are preferred.
    double bias_over_masks = 0;
};

/// @param full the weights of the whole model
/// @param statistics likewise
/// @param world the number of workers
/// @param number which probe this is: each reads data of its own
[[nodiscard]] alignment probe(
    const options& o, const task& t, const weights& full, const weights& statistics, int world, std::uint64_t number);

} // namespace trainer
