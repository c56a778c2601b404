// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief What the assembled full model is worth, and what it writes.

#include "data.hpp"
#include "llama.hpp"
#include "options.hpp"

#include <string>
#include <vector>

namespace trainer {

/// Held-out loss and samples of the full model. For rank 0 only.
class evaluator {
public:
    evaluator(const options& o, const llama_description& d, const text& t);

    /// Nats per byte over the held-out sequences.
    [[nodiscard]] double loss(const weights& full) const;

    /// Goes on from a piece of the held-out text, byte by byte; the result begins with that piece.
    [[nodiscard]] std::string sample(const weights& full, int bytes, std::uint64_t seed) const;

private:
    const llama_description& description_;
    std::vector<batch> batches_;
    std::vector<std::uint8_t> prompt_;
    double branch_scale_;
};

} // namespace trainer
