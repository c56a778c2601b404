// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Contenders of a setting, and rounds in which they take turns.

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace bench {

using counters = std::map<std::string, double>;

/// One way to do the work of a setting, as one worker sees it.
struct contender {
    std::string name;
    std::function<double()> run; ///< does the work once and returns the seconds it took
    std::function<void()> prepare; ///< fills the input; not timed; empty: nothing to fill
    std::function<std::uint64_t()> check; ///< counts wrong elements after a run on fresh input; empty: nothing to check
    counters fixed; ///< the same in every round and on every worker
    std::function<counters()> observed; ///< of the last run; the largest of all workers is reported; empty: nothing
    std::string label;
};

/// Collective operations among the workers that the measuring itself needs.
struct coordinator {
    std::function<void()> barrier;
    std::function<double(double)> maximum, sum; ///< over the workers, the same on all
};

/// The coordinator of a single worker.
[[nodiscard]] inline coordinator alone()
{
    const auto same = [](double value) { return value; };
    return {[] {}, same, same};
}

/// Results of one contender.
struct measured {
    std::vector<double> seconds; ///< of the slowest worker, by round
    std::map<std::string, std::vector<double>> by_round; ///< counters that differ from round to round
    counters fixed;
    std::uint64_t wrong = 0; ///< elements, all workers together
    std::string label;
};
using results = std::map<std::string, measured>;

/// Seconds of real time that `f` takes.
template <class F> [[nodiscard]] std::function<double()> timed(F f)
{
    return [f = std::move(f)]() mutable {
        using clock = std::chrono::steady_clock;
        const auto start = clock::now();
        f();
        return std::chrono::duration<double>(clock::now() - start).count();
    };
}

/// Runs every contender once per round, in turn, so that a slow phase of the machine meets all of them. Contenders with a check
/// run on fresh input before the rounds and after them. Collective.
[[nodiscard]] results measure(std::vector<contender>& contenders, int rounds, const coordinator& all);

} // namespace bench
