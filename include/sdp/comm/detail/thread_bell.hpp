// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief How a worker of a thread group sleeps until something has happened.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

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

    /// Calls `done` until it is true, asleep between the rings; `late` throws if it was to be by now.
    template <class Done, class Late> void sleep_until(std::chrono::milliseconds limit, Done done, Late late)
    {
        using clock = std::chrono::steady_clock;
        // Keeps the sum below from overflowing for "as long as it takes".
        constexpr std::chrono::milliseconds longest = std::chrono::hours(24 * 365);
        const auto deadline = clock::now() + (limit < longest ? limit : longest);
        // Giving the core away a few times is cheaper than sleeping when the peer only needs a core to go on.
        constexpr int yields = 8;
        for (int round = 0;; ++round) {
            const auto seen = count();
            if (done())
                return;
            if (clock::now() >= deadline)
                late();
            if (round < yields)
                std::this_thread::yield();
            else
                sleep(seen, deadline);
        }
    }

private:
    // Sequentially consistent on purpose: the ringer writes count_ then reads sleepers_, the sleeper the other way round.
    std::atomic<std::uint32_t> count_ = 0;
    std::atomic<int> sleepers_ = 0;
    std::mutex mutex_;
    std::condition_variable wake_;
};

} // namespace sdp::detail
