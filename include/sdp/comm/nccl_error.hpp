// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The exception for a failing NCCL call.

#include <sdp/error.hpp>

#include <nccl.h>

#include <string>

namespace sdp {
#pragma GCC visibility push(default)

/// NCCL failed, or a peer did not answer. The communicator has then been aborted.
class nccl_error : public error {
public:
    nccl_error(const std::string& what, ncclResult_t code)
        : error(what)
        , code_(code)
    {
    }
    [[nodiscard]] ncclResult_t code() const noexcept { return code_; }

private:
    ncclResult_t code_;
};

#pragma GCC visibility pop
} // namespace sdp
