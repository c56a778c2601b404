// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief What a failing NCCL call throws.

#include <sdp/error.hpp>

#include <nccl.h>

#include <string>

namespace sdp {

/// NCCL failed, or a peer did not answer. The communicator is aborted then.
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

} // namespace sdp
