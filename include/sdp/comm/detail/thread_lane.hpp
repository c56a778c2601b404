// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Lanes: queues of unmatched messages between two threads.

#include <sdp/comm/communicator.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>

namespace sdp::detail {

/// State of one end of a message. Changes up to `copying` need the lane's lock.
enum class thread_stage : std::uint8_t {
    waiting, ///< in the lane, without its other end
    matched, ///< both ends are posted, no worker copies yet
    copying, ///< one of the two workers copies
    done, ///< the caller owns the buffer again
    mismatched, ///< the two ends give different sizes
    withdrawn ///< the other end was destroyed before the copy; the group is aborted
};

/// One end of a message.
struct thread_message {
    std::atomic<thread_stage> stage = thread_stage::done;
    bool outgoing = false;
    int peer = 0;
    exchange_tag tag = 0;
    std::size_t bytes = 0;
    std::size_t other_bytes = 0; ///< size that the other end gave, once mismatched
    const void* source = nullptr; ///< of an outgoing message
    void* target = nullptr; ///< of an incoming one
    thread_message* partner = nullptr;
    thread_message* next = nullptr; ///< in the lane
};

/// The unmatched messages from one rank to one other, oldest first.
struct alignas(64) thread_lane {
    std::mutex mutex;
    thread_message* first = nullptr;

    /// Removes and returns the oldest message that matches `message`. Appends `message` and returns null if there is none.
    [[nodiscard]] thread_message* match_or_append(thread_message& message) noexcept
    {
        auto** link = &first;
        for (; *link != nullptr; link = &(*link)->next) {
            auto* const found = *link;
            if (found->outgoing != message.outgoing && found->tag == message.tag) {
                *link = found->next;
                return found;
            }
        }
        message.next = nullptr;
        *link = &message;
        return nullptr;
    }

    void remove(const thread_message& message) noexcept
    {
        for (auto** link = &first; *link != nullptr; link = &(*link)->next)
            if (*link == &message) {
                *link = message.next;
                return;
            }
    }
};

} // namespace sdp::detail
