// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief A thread that calls a function now and then while there is something under way.

#include <chrono>
#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>

namespace sdp::detail {

/// Whoever shares state with the function holds `lock()` while it uses it. Without a thread that costs nothing.
class progress_thread {
public:
    using lock_type = std::unique_lock<std::recursive_mutex>;

    /// `push` says whether something is still under way.
    void start(std::function<bool()> push)
    {
        push_ = std::move(push);
        thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
    }
    /// No call of the function is under way or comes after this.
    void stop() noexcept
    {
        if (thread_.joinable()) {
            thread_.request_stop();
            thread_.join();
        }
    }

    /// @throws what the function has thrown on the thread since the last time
    [[nodiscard]] lock_type lock()
    {
        if (!thread_.joinable())
            return {};
        lock_type out(mutex_);
        if (auto thrown = std::exchange(thrown_, nullptr))
            std::rethrow_exception(thrown);
        return out;
    }

    /// The same without a look at what was thrown.
    [[nodiscard]] lock_type guard() { return thread_.joinable() ? lock_type(mutex_) : lock_type(); }

    /// There is something to do; under the lock.
    void wake()
    {
        if (thread_.joinable() && !std::exchange(busy_, true))
            wake_.notify_one();
    }

private:
    void run(const std::stop_token& stop)
    {
        constexpr std::chrono::microseconds pause(50); // rarely enough to leave the cores to the host
        for (lock_type lock(mutex_);;) {
            if (!wake_.wait(lock, stop, [this] { return busy_; }))
                return;
            try {
                busy_ = push_();
            } catch (...) {
                thrown_ = std::current_exception();
                busy_ = false;
            }
            lock.unlock();
            std::this_thread::sleep_for(pause);
            lock.lock();
        }
    }

    std::recursive_mutex mutex_;
    std::condition_variable_any wake_;
    std::function<bool()> push_;
    std::exception_ptr thrown_;
    bool busy_ = false;
    std::jthread thread_;
};

} // namespace sdp::detail
