// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Event counter on which a worker of a thread group sleeps.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

namespace sdp::detail {

/// Lets a worker sleep until the next event, without losing an event between its last test and its sleep.
class thread_bell {
public:
    [[nodiscard]] std::uint32_t count() const noexcept { return count_.load(); }

    void ring() noexcept
    {
        ++count_;
        if (sleepers_.load() == 0) // the usual case while all workers are busy: no system call
            return;
        {
            const std::lock_guard lock(mutex_);
        }
        wake_.notify_all();
    }

    /// Sleeps while the count equals `seen`, at most until the deadline.
    void sleep(std::uint32_t seen, std::chrono::steady_clock::time_point deadline)
    {
        ++sleepers_;
        {
            std::unique_lock lock(mutex_);
            wake_.wait_until(lock, deadline, [&] { return count_.load() != seen; });
        }
        --sleepers_;
    }

    /// Calls `done` until it is true, and sleeps between events. Calls `late`, which throws, at the end of the limit.
    template <class Done, class Late> void sleep_until(std::chrono::milliseconds limit, Done done, Late late)
    {
        using clock = std::chrono::steady_clock;
        // Keeps the sum below from overflowing for an unlimited wait.
        constexpr std::chrono::milliseconds longest = std::chrono::hours(24 * 365);
        const auto deadline = clock::now() + (limit < longest ? limit : longest);
        // Yielding the core a few times is cheaper than sleeping when the peer only needs a core.
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
    // Sequentially consistent on purpose: `ring` writes count_ and then reads sleepers_; a sleeper does it in reverse order.
    std::atomic<std::uint32_t> count_ = 0;
    std::atomic<int> sleepers_ = 0;
    std::mutex mutex_;
    std::condition_variable wake_;
};

} // namespace sdp::detail
