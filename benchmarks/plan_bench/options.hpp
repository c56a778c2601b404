// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief What plan_bench measures, as told on its command line.

#include <cstdint>
#include <string>

namespace plan_bench {

struct options {
    std::string what = "all"; ///< or "runs", "llama", "designs"
    std::int64_t runs = 1'000'000; ///< about as many on one worker, in "runs"
    int layers = 126; ///< of the LLaMA; the rest of its shape is fixed
    int workers = 16'384; ///< in "llama"; the largest in "designs"
    int rounds = 3; ///< of which the fastest is reported
    std::string json; ///< file for one object per line; empty: none
};

/// @throws std::invalid_argument with a sentence for the user
[[nodiscard]] options parse(int argc, char** argv);

} // namespace plan_bench
