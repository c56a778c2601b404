// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Small collectives on top of `exchange`, for control data: a gather to one rank and a broadcast from it.
///
/// A star through one rank: N messages there, two rounds. Control data is a few bytes per worker, and the one rank sums in
/// rank order, so that everybody gets the same bits.

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
inline constexpr exchange_tag first_control_tag = assemble_tag;

/// At the root: every rank's `mine`, one after another in rank order. Elsewhere: empty. All ranks give as many elements.
template <class T, communicator C>
requires std::is_trivially_copyable_v<T>
void gather(C& comm, int root, std::span<const T> mine, std::vector<T>& all, std::chrono::milliseconds limit)
{
    if (comm.rank() != root) {
        const outgoing message {root, mine.data(), mine.size_bytes()};
        comm.exchange(gather_tag, std::span(&message, 1), std::span<const incoming> {}).wait(limit);
        return;
    }
    all.resize(mine.size() * static_cast<std::size_t>(comm.size()));
    std::vector<incoming> messages;
    for (int rank = 0; rank < comm.size(); ++rank) {
        T* const place = all.data() + static_cast<std::size_t>(rank) * mine.size();
        if (rank == root)
            std::copy(mine.begin(), mine.end(), place);
        else
            messages.push_back({rank, place, mine.size_bytes()});
    }
    comm.exchange(gather_tag, std::span<const outgoing> {}, messages).wait(limit);
}

/// Everybody gets the root's values.
template <class T, communicator C>
requires std::is_trivially_copyable_v<T>
void broadcast(C& comm, int root, std::span<T> values, std::chrono::milliseconds limit)
{
    if (comm.rank() != root) {
        const incoming message {root, values.data(), values.size_bytes()};
        comm.exchange(broadcast_tag, std::span<const outgoing> {}, std::span(&message, 1)).wait(limit);
        return;
    }
    std::vector<outgoing> messages;
    for (int rank = 0; rank < comm.size(); ++rank)
        if (rank != root)
            messages.push_back({rank, values.data(), values.size_bytes()});
    comm.exchange(broadcast_tag, messages, std::span<const incoming> {}).wait(limit);
}

/// Bytes that this rank sends in a gather to and a broadcast from rank 0.
[[nodiscard]] inline std::uint64_t star_bytes(int rank, int world, std::size_t up, std::size_t down) noexcept
{
    return rank == 0 ? static_cast<std::uint64_t>(world - 1) * down : up;
}

} // namespace sdp::detail
