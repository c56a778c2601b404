// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Declares backends with two implementations: a stand-in replaces one that was not found.

#include "../common/contender.hpp"
#include "options.hpp"

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace overlap_bench {

/// Adds the settings and runs them; returns the exit status.
[[nodiscard]] int run_threads(const options& o, bench::program& p);

/// @throws std::invalid_argument in a build without MPI
[[nodiscard]] int run_mpi(const options& o, bench::program& p);

/// Collective: every worker gives bytes and gets those of all, by rank.
using gather_bytes = std::function<std::vector<std::vector<char>>(const std::vector<char>&)>;

/// Processes that sum floats in place through gloo over TCP on the loopback device. Nothing in a build without gloo.
class gloo_workers {
public:
    virtual ~gloo_workers() = default;

    /// The faster of gloo's two all-reduce algorithms for these elements, found by trying both. Prepares and checks nothing.
    /// Collective.
    [[nodiscard]] virtual bench::contender fastest(std::span<float> elements, const bench::coordinator& all) = 0;
};
[[nodiscard]] bool gloo_built() noexcept;
[[nodiscard]] std::unique_ptr<gloo_workers> connect_gloo(int rank, int size, const gather_bytes& gather);

} // namespace overlap_bench
