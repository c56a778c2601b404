// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Random omissions of a forward pass: activations (dropout) and residual branches (stochastic depth).

#include "common/model/task.hpp"

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace trainer {

/// Random choices that depend on the seed, the pass and the place alone, so that a branch that is computed again in the
/// backward pass finds the same.
class drops {
public:
    explicit drops(const network_settings& s)
        : settings_(s)
    {
    }
    /// From here on the choices are those of another pass.
    void next_pass() noexcept { ++pass_; }

    /// Returns true if this pass leaves out a residual branch.
    [[nodiscard]] bool skips(std::uint64_t branch) const;

    /// Zeros at random places, the rest scaled up so that the mean stays. `x` itself where nothing is dropped.
    /// @param pass as `pass()` was when the branch was first computed
    [[nodiscard]] at::Tensor thin(const at::Tensor& x, std::uint64_t pass, std::uint64_t place) const;
    [[nodiscard]] std::uint64_t pass() const noexcept { return pass_; }

private:
    network_settings settings_;
    std::uint64_t pass_ = 0;
};

} // namespace trainer
