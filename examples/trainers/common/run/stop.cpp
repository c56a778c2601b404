// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "common/run/stop.hpp"

#include <atomic>
#include <csignal>

namespace trainer {

namespace {
    std::atomic<bool> requested = false;
    static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may not lock");
} // namespace

void catch_stop_signals()
{
    for (const int signal : {SIGINT, SIGTERM})
        std::signal(signal, [](int number) {
            requested = true;
            std::signal(number, SIG_DFL);
        });
}

bool stop_requested() noexcept
{
    return requested;
}

} // namespace trainer
