// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Collective operations of the measuring itself, among threads.

#include "contender.hpp"

#include <algorithm>
#include <barrier>
#include <numeric>
#include <vector>

namespace bench {

class thread_meeting {
public:
    explicit thread_meeting(int workers)
        : barrier_(workers)
        , reported_(static_cast<std::size_t>(workers))
    {
    }

    [[nodiscard]] coordinator of(int rank)
    {
        coordinator out;
        out.barrier = [this] { barrier_.arrive_and_wait(); };
        out.maximum = [this, rank](double value) {
            return combined(rank, value, [this] { return *std::max_element(reported_.begin(), reported_.end()); });
        };
        out.sum = [this, rank](double value) {
            return combined(rank, value, [this] { return std::accumulate(reported_.begin(), reported_.end(), 0.0); });
        };
        return out;
    }

private:
    [[nodiscard]] double combined(int rank, double value, auto combine)
    {
        reported_[static_cast<std::size_t>(rank)] = value;
        barrier_.arrive_and_wait();
        const double out = combine();
        barrier_.arrive_and_wait();
        return out;
    }

    std::barrier<> barrier_;
    std::vector<double> reported_;
};

} // namespace bench
