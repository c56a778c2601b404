// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief As much of NCCL as sdp::nccl uses, among threads of the host. Messages wait on streams for their other side, as on a
/// device; two ranks get in touch in their first exchange, which is waited for inside the call or, where a communicator does not
/// block, between calls; what may not be called is noticed. Says nothing of NCCL's own faults, nor of speed.

#include <nccl.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace simulated {

/// Counts of the calls to NCCL since the start.
struct nccl_record {
    std::atomic<int> made = 0; ///< communicators, of all ranks
    std::atomic<int> alive = 0; ///< of these, neither destroyed nor aborted
    std::atomic<int> misused = 0; ///< calls that NCCL does not allow
    std::atomic<std::uint64_t> groups = 0, messages = 0, all_reduces = 0;
    std::array<std::atomic<std::uint64_t>, 64> sent {}; ///< bytes of messages, by rank
};
inline nccl_record nccl;

/// Number of times that a non-blocking communicator still reports ncclInProgress after its peers have arrived.
inline std::atomic<int> nccl_delay = 3;

/// From now on the communicator has failed, which shows when it is asked; its messages do not arrive.
void fail(ncclComm_t communicator, ncclResult_t code);

} // namespace simulated
