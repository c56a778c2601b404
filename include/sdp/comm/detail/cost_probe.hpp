// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Times messages and peer memory between the workers of a communicator.

#include <sdp/comm/communicator.hpp>
#include <sdp/comm/route_costs.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

namespace sdp::detail {

/// Times rounds in which every worker receives from the worker before it in a ring, on all workers at once.
template <communicator C> class cost_probe {
public:
    cost_probe(C& comm, std::chrono::milliseconds limit)
        : comm_(comm)
        , limit_(limit)
        , next_((comm.rank() + 1) % comm.size())
        , before_((comm.rank() + comm.size() - 1) % comm.size())
        , from_(many)
        , to_(many)
    {
    }

    static constexpr std::size_t few = 64, many = std::size_t {1} << 20; ///< bytes

    [[nodiscard]] route_cost messages()
    {
        return fit([&](std::size_t bytes) {
            const outgoing send {next_, from_.data(), bytes};
            const incoming receive {before_, to_.data(), bytes};
            comm_.exchange(0, std::span(&send, 1), std::span(&receive, 1)).wait(limit_);
        });
    }

    /// Empty if this worker reaches no other worker's memory.
    [[nodiscard]] std::optional<route_cost> memory()
    {
        if constexpr (peer_memory<C>) {
            // The previous worker among those it reaches, all of which form the same ring.
            int before = before_;
            while (!comm_.reaches(before))
                before = (before + comm_.size() - 1) % comm_.size();
            if (before == comm_.rank())
                return {};
            auto segment = comm_.share(line + many);
            auto* const mine = segment.of(comm_.rank());
            std::uint64_t round = 0;
            const auto counter = [](std::byte* at) { return std::atomic_ref(*reinterpret_cast<std::uint64_t*>(at)); };
            return fit([&](std::size_t bytes) {
                counter(mine).store(++round, std::memory_order_release);
                segment.notify();
                const auto there = [&] {
                    auto* const at = segment.of(before);
                    return at != nullptr && counter(at).load(std::memory_order_acquire) >= round;
                };
                segment.wait(before, there, limit_);
                std::memcpy(to_.data(), segment.of(before) + line, bytes);
            });
        } else {
            return {};
        }
    }

private:
    static constexpr std::size_t line = 64;

    template <class Round> [[nodiscard]] route_cost fit(Round round)
    {
        const double a = median_us(few, round), b = median_us(many, round);
        return {a, (std::max)(b - a, 0.0) * 1e3 / static_cast<double>(many - few)};
    }

    template <class Round> [[nodiscard]] static double median_us(std::size_t bytes, Round round)
    {
        constexpr int rounds = 9;
        std::vector<double> times;
        for (int i = 0; i <= rounds; ++i) {
            const auto start = std::chrono::steady_clock::now();
            round(bytes);
            const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - start;
            if (i > 0) // the first round warms up
                times.push_back(took.count());
        }
        std::nth_element(times.begin(), times.begin() + rounds / 2, times.end());
        return times[rounds / 2];
    }

    C& comm_;
    std::chrono::milliseconds limit_;
    int next_, before_;
    std::vector<std::byte> from_, to_;
};

} // namespace sdp::detail
