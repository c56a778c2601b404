// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Runs the thread that pushes.

#include <sdp/detail/step/progress_thread.hpp>
#include <sdp/src/separate.hpp>

#include <chrono>
#include <exception>
#include <utility>

namespace sdp::detail {

SDP_INLINE void progress_thread::start(std::function<bool()> push)
{
    push_ = std::move(push);
    thread_ = std::thread([this] { run(); });
}

SDP_INLINE void progress_thread::stop() noexcept
{
    if (!thread_.joinable())
        return;
    {
        const lock_type lock(mutex_);
        ended_ = true;
    }
    wake_.notify_one();
    thread_.join();
}

SDP_INLINE progress_thread::lock_type progress_thread::lock()
{
    if (!thread_.joinable())
        return {};
    lock_type out(mutex_);
    if (auto thrown = std::exchange(thrown_, nullptr))
        std::rethrow_exception(thrown);
    return out;
}

SDP_INLINE void progress_thread::run()
{
    constexpr std::chrono::microseconds pause(50); // rarely enough to leave the cores to the host
    for (lock_type lock(mutex_);;) {
        wake_.wait(lock, [this] { return busy_ || ended_; });
        if (ended_)
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

} // namespace sdp::detail
