// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The exception for a failing NCCL call.

#include <sdp/error.hpp>

#include <nccl.h>

#include <string>

namespace sdp {
#pragma GCC visibility push(default)

/// NCCL failed. The communicator has then been aborted. NCCL does not tell this worker's failures from those of peers, so this
/// counts as the failure of a peer; `peer()` is known for an exchange with a single one. A peer that does not answer is a
/// `timeout_error`, as with any communicator.
class nccl_error : public peer_error {
public:
    nccl_error(const std::string& what, ncclResult_t code, int rank = -1, int peer = -1)
        : peer_error(what, rank, peer)
        , code_(code)
    {
    }
    [[nodiscard]] ncclResult_t code() const noexcept { return code_; }

private:
    ncclResult_t code_;
};

#pragma GCC visibility pop
} // namespace sdp
