// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Refuses an ill-formed exchange before any message is posted, with one wording for all communicators.

#include <sdp/comm/communicator.hpp>
#include <sdp/error.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace sdp::detail {

/// Checks the arguments of `exchange`. Remembers the last check that met each peer, so that a check costs one pass and no memory.
class exchange_check {
public:
    exchange_check(int rank, int size)
        : rank_(rank)
        , size_(size)
        , sent_(static_cast<std::size_t>(size), 0)
        , received_(static_cast<std::size_t>(size), 0)
    {
    }

    /// @throws sdp::error naming the rank, the tag and the peer
    void operator()(exchange_tag tag, std::span<const outgoing> sends, std::span<const incoming> receives)
    {
        if (tag < 0 || tag > max_exchange_tag)
            fail("rank ", rank_, " starts an exchange with tag ", tag, ", but tags are 0 to ", max_exchange_tag);
        ++round_;
        for (const auto& message : sends)
            look(tag, message, sent_, "to");
        for (const auto& message : receives)
            look(tag, message, received_, "from");
    }

private:
    void look(exchange_tag tag, const auto& message, std::vector<std::uint64_t>& last_seen, std::string_view direction)
    {
        const auto refuse = [&](const auto&... why) {
            fail("rank ", rank_, ", exchange with tag ", tag, ": a message ", direction, " rank ", message.peer, why...);
        };
        if (message.peer < 0 || message.peer >= size_)
            refuse(", but the ranks are 0 to ", size_ - 1);
        if (message.peer == rank_)
            refuse(", which is itself");
        if (message.bytes == 0)
            refuse(" has zero bytes; leave it out on both ends");
        if (message.data == nullptr)
            refuse(" has ", message.bytes, " bytes at a null address");
        auto& seen = last_seen[static_cast<std::size_t>(message.peer)];
        if (seen == round_)
            refuse(" is the second in that direction; pack what one peer gets into one message");
        seen = round_;
    }

    int rank_;
    int size_;
    std::uint64_t round_ = 0;
    std::vector<std::uint64_t> sent_, received_; ///< number of the check that last met the peer
};

} // namespace sdp::detail
