// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief What messages and peer memory cost: by what a route is chosen, and a measurement of it on the machine at hand.

#include <sdp/comm/communicator.hpp>
#include <sdp/comm/detail/root_collectives.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <iterator>
#include <optional>
#include <span>
#include <vector>

namespace sdp {

/// What a way of moving data costs a worker: so long to go there once, and so long per byte.
struct route_cost {
    double round_us = 0; ///< microseconds
    double byte_ns = 0; ///< nanoseconds

    friend bool operator==(const route_cost&, const route_cost&) = default;
};

/// What `route_choice::fastest` goes by, class by class: a class of P bytes and k trainers takes two rounds and 2(k−1)/k·P bytes
/// in messages through the owner, one round and P bytes by a swap, and two rounds and 2P bytes read and written in memory. The
/// defaults are for one machine; `fit_route_costs` measures. Model: ours.
struct route_costs {
    route_cost messages {20, 0.5};
    route_cost memory {5, 0.1};

    friend bool operator==(const route_costs&, const route_costs&) = default;
};

namespace detail {

    /// Times rounds in which every worker gets something from the one before it, on all workers at once.
    template <communicator C> class cost_probe {
    public:
        cost_probe(C& comm, std::chrono::milliseconds limit)
            : comm_(comm)
            , limit_(limit)
            , next_((comm.rank() + 1) % comm.size())
            , before_((comm.rank() + comm.size() - 1) % comm.size())
            , from_(large)
            , to_(large)
        {
        }

        static constexpr std::size_t small = 64, large = std::size_t {1} << 20; ///< bytes

        [[nodiscard]] route_cost messages()
        {
            return fit([&](std::size_t bytes) {
                const outgoing send {next_, from_.data(), bytes};
                const incoming receive {before_, to_.data(), bytes};
                comm_.exchange(0, std::span(&send, 1), std::span(&receive, 1)).wait(limit_);
            });
        }

        /// Nothing where this worker reaches nobody else's memory.
        [[nodiscard]] std::optional<route_cost> memory()
        {
            if constexpr (peer_memory<C>) {
                // The one before it among those that it reaches, who all make the same ring.
                int before = before_;
                while (!comm_.reaches(before))
                    before = (before + comm_.size() - 1) % comm_.size();
                if (before == comm_.rank())
                    return {};
                auto segment = comm_.share(line + large);
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
            const double a = median_us(small, round), b = median_us(large, round);
            return {a, std::max(b - a, 0.0) * 1e3 / static_cast<double>(large - small)};
        }

        template <class Round> [[nodiscard]] static double median_us(std::size_t bytes, Round round)
        {
            constexpr int rounds = 9;
            std::vector<double> times;
            for (int i = 0; i <= rounds; ++i) {
                const auto start = std::chrono::steady_clock::now();
                round(bytes);
                const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - start;
                if (i > 0) // the first one warms up
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

} // namespace detail

/// Collective: what messages and peer memory cost, the means over all workers that could measure it, the same on each. Takes some
/// milliseconds and 2 MiB per worker. What nobody can measure keeps its default: all with a single worker, memory where no two
/// reach each other's.
/// @throws what the communicator throws
template <communicator C>
[[nodiscard]] route_costs fit_route_costs(C& comm, std::chrono::milliseconds limit = std::chrono::minutes(1))
{
    route_costs out;
    if (comm.size() < 2)
        return out;
    detail::cost_probe<C> probe(comm, limit);
    const auto messages = probe.messages();
    const auto memory = probe.memory();
    const auto known = memory.value_or(route_cost {});
    double sums[] {messages.round_us, messages.byte_ns, known.round_us, known.byte_ns, memory ? 1.0 : 0.0};
    detail::root_collectives<C> collectives(comm, limit);
    std::vector<double> all;
    collectives.gather(0, std::span<const double>(sums), all);
    if (comm.rank() == 0)
        for (std::size_t i = 0; i < std::size(sums); ++i) {
            sums[i] = 0;
            for (std::size_t at = i; at < all.size(); at += std::size(sums))
                sums[i] += all[at];
        }
    collectives.broadcast(0, std::span<double>(sums));
    out.messages = {sums[0] / comm.size(), sums[1] / comm.size()};
    if (const double measured = sums[4]; measured > 0)
        out.memory = {sums[2] / measured, sums[3] / measured};
    return out;
}

} // namespace sdp
