// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Activation checkpointing: computing a part of the forward pass a second time instead of keeping what is in it.

#include "common/settings/options.hpp"

#include <ATen/core/Tensor.h>

#include <functional>

namespace trainer {

/// `f(x)`, of which only `x` is kept until the backward pass, where `f` is computed again, in the same precision, to get at
/// the gradients. The parameters that `f` uses get theirs as ever, provided that `x` asks for one. `f` must give the same result
/// again; what it refers to must live until the backward pass has ended.
[[nodiscard]] at::Tensor recompute(
    const std::function<at::Tensor(const at::Tensor&)>& f, const at::Tensor& x, precision p, compute_device d);

} // namespace trainer
