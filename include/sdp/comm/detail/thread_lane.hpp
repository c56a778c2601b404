// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Where the two ends of a message between threads find each other.

#include <sdp/comm/communicator.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>

namespace sdp::detail {

/// Life of one end of a message. Everything up to `copying` changes under the lane's lock.
enum class thread_stage : std::uint8_t {
    waiting, ///< in the lane, the other end is not there
    matched, ///< both ends are there, nobody copies yet
    copying, ///< one of the two workers copies
    done, ///< the buffer is the caller's again
    mismatched, ///< the two ends name different sizes
    withdrawn ///< the other end was destroyed before the copy; the group is aborted
};

/// One end of a message.
struct thread_message {
    std::atomic<thread_stage> stage = thread_stage::done;
    bool outgoing = false;
    int peer = 0;
    exchange_tag tag = 0;
    std::size_t bytes = 0;
    std::size_t other_bytes = 0; ///< what the other end named, once mismatched
    const void* source = nullptr; ///< of an outgoing message
    void* target = nullptr; ///< of an incoming one
    thread_message* partner = nullptr;
    thread_message* next = nullptr; ///< in the lane
};

/// Messages from one rank to one other that have not met yet, oldest first.
struct alignas(64) thread_lane {
    std::mutex mutex;
    thread_message* first = nullptr;

    /// Takes out the oldest one that fits `message`; leaves `message` here when there is none.
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
