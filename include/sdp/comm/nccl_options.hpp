// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief What can be chosen about a communicator over NCCL.

#include <chrono>

namespace sdp {

/// How long to wait, and who does the waiting.
struct nccl_options {
    std::chrono::milliseconds timeout = std::chrono::minutes(10); ///< for any one wait on peers
    /// Of communicators that are made: whether NCCL's own calls may wait for peers, as long as it takes. Two ranks get in touch
    /// in their first exchange, inside NCCL, where a peer that never comes is waited for without an end. Where that is left to a
    /// thread of NCCL's, `timeout` holds there too; each exchange costs the host a thread more.
    bool blocking = false;
};

} // namespace sdp
