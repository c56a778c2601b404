// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The optimizers and their learning rate.

#include "common/settings/options.hpp"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>

namespace trainer {

/// The learning rate at a step: linear warm-up, then a cosine down to a tenth of the highest.
double learning_rate(int step, int steps, int warmup, double highest);

/// The factor that brings gradients of that global norm down to `limit`, at most one. A limit of 0 is none.
double clip_factor(double norm, double limit);

/// libtorch's AdamW or SGD over tensors that carry their gradient in `.grad()`. It stands behind a pointer because its
/// headers are the most expensive of all, and only one file needs them.
class optimizer {
public:
    struct item {
        at::Tensor value;
        bool decay = false; ///< weight decay is for matrices and filters, not for scales and shifts
    };

    optimizer(const options& o, std::span<const item> items);
    optimizer(optimizer&&) noexcept;
    ~optimizer();

    void step(double rate);

    /// Bytes that the optimizer keeps for that tensor, by the storage of its state. Zero before the first step.
    [[nodiscard]] std::uint64_t state_bytes(const at::Tensor& value) const;

private:
    struct state;
    std::unique_ptr<state> state_;
};

} // namespace trainer
