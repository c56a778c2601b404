// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Contenders, measured in turn within each round, and the row that is reported of each.

#include "options.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace overlap_bench {

/// One way to do the work. `prepare` fills its input and is not timed; `check` counts wrong elements after a run.
struct contender {
    std::string route;
    std::function<void()> prepare;
    std::function<void()> run;
    std::function<std::uint64_t()> check;
    std::uint64_t bytes_sent = 0; ///< by this worker in a run, if it can be told
    std::uint64_t bytes_bound = 0; ///< by the formula
    std::string algorithm; ///< where the contender has several and chose one
};

/// What all workers together report of a contender in one setting.
struct row {
    std::string backend, route, layout, algorithm;
    int workers = 0, holders = 0;
    std::size_t bytes = 0, run_bytes = 0, parameters = 0;
    std::vector<double> ms; ///< slowest worker, by round
    double dense_ms = 0; ///< median of the dense contender of the same rounds
    double held_bytes = 0; ///< by one worker, mean
    double wire_bytes = 0; ///< Σ 2(k−1)/k of the bytes a worker holds with k holders, mean
    std::uint64_t bytes_sent_max = 0, bytes_sent_bound = 0, wrong = 0;
    double bytes_sent_mean = 0;
    double bytes_off = 0; ///< between what was sent and the formula, summed over the workers
};

/// Collective operations of the backend that the measuring itself needs.
struct coordinator {
    bool root = false;
    std::function<void()> barrier;
    std::function<double(double)> maximum, sum; ///< over the workers, the same on all
};

[[nodiscard]] double median(std::vector<double> values);

/// Runs every contender once per round, in turn, so that a slow phase of the machine meets all of them.
[[nodiscard]] std::vector<row> measure(
    const options& o, const row& setting, std::vector<contender>& contenders, const coordinator& all);

void print_header();

/// Prints and writes the rows at the root. @throws std::runtime_error, on all workers, if an element was wrong
void report(const options& o, const std::vector<row>& rows, const coordinator& all);

} // namespace overlap_bench
