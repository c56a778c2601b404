// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Lifetime gate: keeps a worker's memory alive while a peer uses it, although the worker may end at any time.

#include <sdp/error.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <thread>

namespace sdp::detail {

/// A counter in memory that peers reach. All zeros mean open.
class lifetime_gate {
public:
    /// Registers a user of the memory. Returns false, without registering, if the gate is closed.
    [[nodiscard]] bool enter() noexcept
    {
        std::atomic_ref(busy_).fetch_add(1);
        if (std::atomic_ref(closed_).load() == 0)
            return true;
        leave();
        return false;
    }
    void leave() noexcept { std::atomic_ref(busy_).fetch_sub(1); }
    /// Admits no more users, and waits for those registered.
    void close() noexcept
    {
        std::atomic_ref(closed_).store(1);
        while (std::atomic_ref(busy_).load() != 0)
            std::this_thread::yield();
    }

private:
    std::uint64_t closed_, busy_;
};

/// RAII guard: keeps the gates of some peers open.
/// @tparam GateOf returns the gate of a peer
template <class GateOf> class entered_gates {
public:
    /// @param rank this worker
    /// @param ranks of the peers in the table
    /// @param peers positions in the table of the peers to enter
    /// @throws sdp::aborted_error if a gate is closed, because its worker has ended
    entered_gates(int rank, std::span<const int> ranks, std::span<const std::uint32_t> peers, GateOf gate_of)
        : peers_(peers)
        , gate_of_(gate_of)
    {
        for (const auto peer : peers) {
            if (!gate_of_(peer).enter()) {
                release();
                fail_by_peer<aborted_error>(rank, ranks[peer], "rank ", rank, " cannot go on with its exchange: rank ",
                    ranks[peer], " ended within a step");
            }
            ++entered_;
        }
    }
    entered_gates(const entered_gates&) = delete;
    entered_gates& operator=(const entered_gates&) = delete;
    ~entered_gates() { release(); }

private:
    void release() noexcept
    {
        while (entered_ > 0)
            gate_of_(peers_[--entered_]).leave();
    }

    std::span<const std::uint32_t> peers_;
    GateOf gate_of_;
    std::size_t entered_ = 0;
};

} // namespace sdp::detail
