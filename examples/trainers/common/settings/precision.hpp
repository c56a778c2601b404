// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Automatic mixed precision.

#include "common/settings/options.hpp"

namespace trainer {

/// While it lives, products of matrices in the calling thread are computed in the type that is asked for.
class mixed_precision {
public:
    mixed_precision(precision p, compute_device d);
    ~mixed_precision();
    mixed_precision(const mixed_precision&) = delete;
    mixed_precision& operator=(const mixed_precision&) = delete;

private:
    bool active_;
    compute_device device_;
};

} // namespace trainer
