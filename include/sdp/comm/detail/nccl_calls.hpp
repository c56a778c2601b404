// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief NCCL's calls, with time-outs and errors as exceptions.

#include <sdp/comm/nccl_error.hpp>
#include <sdp/comm/nccl_options.hpp>
#include <sdp/error.hpp>

#include <nccl.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>

namespace sdp {

namespace detail {

    /// @throws sdp::nccl_error naming the call
    inline void check_nccl(ncclResult_t code, const char* call)
    {
        if (code != ncclSuccess && code != ncclInProgress)
            throw nccl_error(text(call, " failed: ", ncclGetErrorString(code)), code);
    }

    /// The end of a wait that begins now.
    [[nodiscard]] inline std::chrono::steady_clock::time_point end_of(std::chrono::milliseconds limit)
    {
        constexpr std::chrono::milliseconds longest = std::chrono::hours(24 * 365); // keeps sums from overflowing
        return std::chrono::steady_clock::now() + (std::min)(limit, longest);
    }

    /// Waits for a call of a non-blocking communicator and returns its result; `ncclInProgress` if it takes longer than `limit`.
    [[nodiscard]] inline ncclResult_t outcome_of(ncclComm_t handle, ncclResult_t code, std::chrono::milliseconds limit)
    {
        const auto begin = std::chrono::steady_clock::now(), end = end_of(limit);
        while (code == ncclInProgress) {
            const auto now = std::chrono::steady_clock::now();
            if (now >= end)
                break;
            if (now - begin < std::chrono::microseconds(200))
                std::this_thread::yield(); // a launch alone takes little time
            else
                std::this_thread::sleep_for(std::chrono::microseconds(20));
            if (const auto asked = ncclCommGetAsyncError(handle, &code); asked != ncclSuccess)
                return asked;
        }
        return code;
    }

    /// Creates a communicator. Collective.
    /// @throws sdp::timeout_error if a peer is not there within the time-out
    /// @throws sdp::nccl_error if NCCL fails
    [[nodiscard]] inline ncclComm_t make_communicator(const ncclUniqueId& id, int rank, int size, const nccl_options& options)
    {
        ncclComm_t handle = nullptr;
        ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
        config.blocking = options.blocking ? 1 : 0;
        const auto begun = ncclCommInitRankConfig(&handle, size, id, rank, &config);
        check_nccl(begun, "ncclCommInitRankConfig");
        const auto code = outcome_of(handle, begun, options.timeout);
        if (code == ncclSuccess)
            return handle;
        ncclCommAbort(handle);
        if (code == ncclInProgress)
            fail_by_peer<timeout_error>(rank, -1, "rank ", rank, " waited ", options.timeout.count(), " ms for all ", size,
                " ranks to make their NCCL communicator");
        throw nccl_error(
            text("rank ", rank, ": making the NCCL communicator of ", size, " ranks failed: ", ncclGetErrorString(code)), code,
            rank);
    }

    /// Destroys a communicator without pending operations. False if this takes too long; the communicator then has to be aborted.
    [[nodiscard]] inline bool close_communicator(ncclComm_t handle, std::chrono::milliseconds limit) noexcept
    {
        if (outcome_of(handle, ncclCommFinalize(handle), limit) != ncclSuccess)
            return false;
        ncclCommDestroy(handle);
        return true;
    }

    /// RAII guard of a group of calls: ends the group also when one of them throws.
    class nccl_group {
    public:
        nccl_group() { check_nccl(ncclGroupStart(), "ncclGroupStart"); }
        nccl_group(const nccl_group&) = delete;
        nccl_group& operator=(const nccl_group&) = delete;
        ~nccl_group()
        {
            if (open_)
                ncclGroupEnd();
        }
        [[nodiscard]] ncclResult_t end()
        {
            open_ = false;
            return ncclGroupEnd();
        }

    private:
        bool open_ = true;
    };

} // namespace detail

} // namespace sdp
