// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Small collectives for control data on top of `exchange`: a gather to one rank and a broadcast from it.
///
/// Each takes one round and N−1 messages. Control data is a few bytes per worker. The root sums in rank order, so all ranks get
/// the same bits.

#include <sdp/comm/communicator.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <type_traits>
#include <vector>

namespace sdp::detail {

inline constexpr exchange_tag gather_tag = max_exchange_tag;
inline constexpr exchange_tag broadcast_tag = max_exchange_tag - 1;
inline constexpr exchange_tag assemble_tag = max_exchange_tag - 2;
inline constexpr exchange_tag layout_tag = max_exchange_tag - 3;
inline constexpr exchange_tag first_control_tag = layout_tag;

/// Keeps its lists of messages between calls, so that a step allocates nothing.
template <communicator C> class root_collectives {
public:
    root_collectives(C& comm, std::chrono::milliseconds limit)
        : comm_(&comm)
        , limit_(limit)
    {
    }

    /// Gathers the arrays `mine` of all ranks at the root, in rank order; returns nothing elsewhere. All arrays have the same
    /// length.
    template <class T>
    requires std::is_trivially_copyable_v<T>
    void gather(int root, std::span<const T> mine, std::vector<T>& all)
    {
        if (comm_->rank() != root) {
            send(gather_tag, root, mine.data(), mine.size_bytes());
            return;
        }
        all.resize(mine.size() * static_cast<std::size_t>(comm_->size()));
        incoming_.clear();
        for (int rank = 0; rank < comm_->size(); ++rank) {
            T* const place = all.data() + static_cast<std::size_t>(rank) * mine.size();
            if (rank == root)
                std::copy(mine.begin(), mine.end(), place);
            else
                incoming_.push_back({rank, place, mine.size_bytes()});
        }
        comm_->exchange(gather_tag, std::span<const outgoing> {}, incoming_).wait(limit_);
    }

    /// Broadcasts the root's values.
    template <class T>
    requires std::is_trivially_copyable_v<T>
    void broadcast(int root, std::span<T> values)
    {
        if (comm_->rank() != root) {
            receive(broadcast_tag, root, values.data(), values.size_bytes());
            return;
        }
        outgoing_.clear();
        for (int rank = 0; rank < comm_->size(); ++rank)
            if (rank != root)
                outgoing_.push_back({rank, values.data(), values.size_bytes()});
        comm_->exchange(broadcast_tag, outgoing_, std::span<const incoming> {}).wait(limit_);
    }

    /// Replaces each value by its sum over the ranks, added in rank order: all ranks get the same bits.
    /// @param all memory for the values that the root gathers; the caller keeps it, so a step allocates nothing
    void all_reduce(std::span<double> values, std::vector<double>& all)
    {
        constexpr int root = 0;
        gather(root, std::span<const double>(values), all);
        if (comm_->rank() == root)
            for (std::size_t i = 0; i < values.size(); ++i) {
                values[i] = 0;
                for (std::size_t at = i; at < all.size(); at += values.size())
                    values[i] += all[at];
            }
        broadcast(root, values);
    }

    void send(exchange_tag tag, int peer, const void* data, std::size_t bytes)
    {
        if (bytes == 0)
            return;
        const outgoing message {peer, data, bytes};
        comm_->exchange(tag, std::span(&message, 1), std::span<const incoming> {}).wait(limit_);
    }

    void receive(exchange_tag tag, int peer, void* data, std::size_t bytes)
    {
        if (bytes == 0)
            return;
        const incoming message {peer, data, bytes};
        comm_->exchange(tag, std::span<const outgoing> {}, std::span(&message, 1)).wait(limit_);
    }

private:
    C* comm_;
    std::chrono::milliseconds limit_;
    std::vector<outgoing> outgoing_;
    std::vector<incoming> incoming_;
};

/// Bytes that this rank sends in a gather to rank 0 and a broadcast from it.
[[nodiscard]] inline std::uint64_t root_collective_bytes(int rank, int world, std::size_t up, std::size_t down) noexcept
{
    return rank == 0 ? static_cast<std::uint64_t>(world - 1) * down : up;
}

} // namespace sdp::detail
