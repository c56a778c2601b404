// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Options of a communicator over NCCL.

#include <chrono>

namespace sdp {

/// Time-out of waits, and the thread that waits.
struct nccl_options {
    std::chrono::milliseconds timeout = std::chrono::minutes(10); ///< for any one wait on peers
    /// True if NCCL's own calls may wait for peers without a limit; for created communicators. Two ranks connect in their first
    /// exchange, inside NCCL, where a blocking call waits for a missing peer for ever. With false, a thread of NCCL's connects
    /// and `timeout` holds there too, at the price of one more thread per exchange on the host.
    bool blocking = false;
};

} // namespace sdp
