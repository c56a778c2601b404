// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief What overlap_bench measures, as told on its command line.

#include <cstddef>
#include <string>
#include <vector>

namespace overlap_bench {

struct options {
    std::string backend = "threads"; ///< or "mpi", where the launcher decides the number of workers
    int workers = 8;
    std::vector<int> holders {2, 4, 8};
    std::vector<std::size_t> bytes {std::size_t {16} << 20}; ///< of the whole model
    std::vector<std::size_t> run_bytes {4096}; ///< neighbouring bytes with one holder set
    int rounds = 7; ///< measured, after one that is not
    std::string json; ///< file for one object per line; empty: none
};

/// @throws std::invalid_argument with a sentence for the user
[[nodiscard]] options parse(int argc, char** argv);

} // namespace overlap_bench
