// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Ending at a step boundary when the user or the system asks for it.

namespace trainer {

/// From now on the first SIGINT or SIGTERM only sets a flag. A second one ends the program as ever.
void catch_stop_signals();

/// Returns true if this process has received such a signal.
[[nodiscard]] bool stop_requested() noexcept;

} // namespace trainer
