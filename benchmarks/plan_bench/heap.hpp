// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Counts the program's memory on the heap in its own `operator new`: bytes asked for, without the allocator's.

#include <cstddef>

namespace plan_bench {

/// Bytes on the heap now.
[[nodiscard]] std::size_t heap_bytes() noexcept;

/// The most there has been since the last `start_peak`.
[[nodiscard]] std::size_t peak_bytes() noexcept;
void start_peak() noexcept;

} // namespace plan_bench
