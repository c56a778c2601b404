// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Where the two ends of a message between threads find each other, and how a worker sleeps until they do.

#include <sdp/comm/communicator.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>

namespace sdp::detail {

/// Lets a worker sleep until something has happened to it, without losing what happens while it falls asleep.
class thread_bell {
public:
    [[nodiscard]] std::uint32_t count() const noexcept { return count_.load(); }

    void ring() noexcept
    {
        ++count_;
        if (sleepers_.load() == 0) // the usual case while everybody is busy: no system call
            return;
        {
            const std::lock_guard lock(mutex_);
        }
        wake_.notify_all();
    }

    /// Sleeps while the count is still `seen`, at most until the deadline.
    void sleep(std::uint32_t seen, std::chrono::steady_clock::time_point deadline)
    {
        ++sleepers_;
        {
            std::unique_lock lock(mutex_);
            wake_.wait_until(lock, deadline, [&] { return count_.load() != seen; });
        }
        --sleepers_;
    }

private:
    // Sequentially consistent on purpose: the ringer writes count_ then reads sleepers_, the sleeper the other way round.
    std::atomic<std::uint32_t> count_ = 0;
    std::atomic<int> sleepers_ = 0;
    std::mutex mutex_;
    std::condition_variable wake_;
};

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
