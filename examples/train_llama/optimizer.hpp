// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief AdamW and its learning rate.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>

namespace trainer {

/// The learning rate at a step: linear warm-up, then a cosine down to a tenth of the highest.
double learning_rate(int step, int steps, int warmup, double highest);

/// The factor that brings gradients of that global norm down to `limit`, at most one.
double clip_factor(double norm, double limit = 1);

/// libtorch's AdamW over tensors that carry their gradient in `.grad()`. It stands behind a pointer because its header
/// is the most expensive of all, and only one file needs it.
class adamw {
public:
    struct item {
        at::Tensor value;
        bool decay = false; ///< weight decay is for matrices, not for the scales of the norms
    };

    explicit adamw(std::span<const item> items);
    adamw(adamw&&) noexcept;
    ~adamw();

    void step(double rate);

    /// What the optimizer keeps for that tensor, by the storage of its state. Zero before the first step.
    [[nodiscard]] std::uint64_t state_bytes(const at::Tensor& value) const;

private:
    struct state;
    std::unique_ptr<state> state_;
};

} // namespace trainer
