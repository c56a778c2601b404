// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Refuses an ill-formed exchange.

#include <sdp/comm/detail/exchange_check.hpp>
#include <sdp/src/separate.hpp>

namespace sdp::detail {

SDP_INLINE void exchange_check::operator()(exchange_tag tag, std::span<const outgoing> sends, std::span<const incoming> receives)
{
    if (tag < 0 || tag > max_exchange_tag)
        fail("rank ", rank_, " starts an exchange with tag ", tag, ", but tags are 0 to ", max_exchange_tag);
    ++round_;
    for (const auto& message : sends)
        look(tag, message, sent_, "to");
    for (const auto& message : receives)
        look(tag, message, received_, "from");
}

inline void exchange_check::look(
    exchange_tag tag, const auto& message, std::vector<std::uint64_t>& last_seen, std::string_view direction)
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

} // namespace sdp::detail
