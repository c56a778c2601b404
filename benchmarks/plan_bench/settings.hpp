// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Options of plan_bench's command line, and its groups of benchmarks.

#include "../common/program.hpp"

#include <sdp/model.hpp>

#include <cstdint>

namespace plan_bench {

struct options {
    std::int64_t runs = 1'000'000; ///< about as many on one worker, in `runs`
    int layers = 126; ///< of the LLaMA; the rest of its shape is fixed
    int workers = 16'384; ///< in `llama`; the largest in `designs`
};

void add_runs(const options& o, bench::program& p);
void add_llama(const options& o, bench::program& p);
void add_designs(const options& o, bench::program& p);

} // namespace plan_bench
