// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief As much of the CUDA runtime as sdp::cuda uses, on the host: a stream is a thread, which takes its time. Tests what is
/// ordered by events and what is not, best with ThreadSanitizer, and what a capture takes. Says nothing of kernels as a device
/// runs them, nor of speed.

#include <set>
#include <utility>

namespace simulated {

inline int devices = 1;
inline bool peers_reach = true;
inline thread_local int current_device = 0;
/// From and to, as enabled; under a lock of the runtime's.
[[nodiscard]] std::set<std::pair<int, int>> enabled_peers();

} // namespace simulated
