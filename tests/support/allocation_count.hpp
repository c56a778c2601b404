// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Number of counted allocations of the calling thread, in programs of which one source includes
/// allocation_counter.hpp.

namespace support {

inline thread_local long allocation_count = 0;

/// Counts the allocations that `action` makes on this thread.
template <class F> [[nodiscard]] long allocations_of(F&& action)
{
    const auto before = allocation_count;
    action();
    return allocation_count - before;
}

} // namespace support
