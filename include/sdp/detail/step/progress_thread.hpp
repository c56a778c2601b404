// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Thread that calls a function periodically while exchanges are in progress.

#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

namespace sdp::detail {

/// Code that shares state with the function holds `lock()` while it accesses that state. Without a thread that costs nothing.
class progress_thread {
public:
    using lock_type = std::unique_lock<std::recursive_mutex>;

    progress_thread() = default;
    progress_thread(const progress_thread&) = delete;
    progress_thread& operator=(const progress_thread&) = delete;
    ~progress_thread() { stop(); }

    /// `push` returns true while an exchange is in progress.
    void start(std::function<bool()> push);
    /// Ends the thread: on return no call of the function is running, and none follows.
    void stop() noexcept;

    /// @throws what the function has thrown on the thread since the last time
    [[nodiscard]] lock_type lock();

    /// The same without a look at what was thrown.
    [[nodiscard]] lock_type guard() { return thread_.joinable() ? lock_type(mutex_) : lock_type(); }

    /// There is something to do; under the lock.
    void wake()
    {
        if (thread_.joinable() && !std::exchange(busy_, true))
            wake_.notify_one();
    }

private:
    void run();

    std::recursive_mutex mutex_;
    std::condition_variable_any wake_;
    std::function<bool()> push_;
    std::exception_ptr thrown_;
    bool busy_ = false, ended_ = false;
    std::thread thread_; // std::jthread is experimental in libc++ before 20
};

} // namespace sdp::detail

#ifndef SDP_SEPARATE_COMPILATION
#include <sdp/src/detail/step/progress_thread.ipp>
#endif
