// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The workers of a thread group, but all they know of each other is messages.

#include <sdp/comm/threads.hpp>

#include <span>
#include <utility>

namespace support {

class messages_only {
public:
    explicit messages_only(sdp::thread_communicator inner)
        : inner_(std::move(inner))
    {
    }
    [[nodiscard]] int rank() const { return inner_.rank(); }
    [[nodiscard]] int size() const { return inner_.size(); }
    [[nodiscard]] sdp::thread_exchange exchange(
        sdp::exchange_tag tag, std::span<const sdp::outgoing> sends, std::span<const sdp::incoming> receives) const
    {
        return inner_.exchange(tag, sends, receives);
    }
    void abort() const { inner_.abort(); }

private:
    sdp::thread_communicator inner_;
};
static_assert(sdp::communicator<messages_only> && sdp::abortable<messages_only>);
static_assert(!sdp::peer_memory<messages_only> && !sdp::native_all_reduce<messages_only>);

} // namespace support
