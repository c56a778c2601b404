// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief NCCL's communicator with its stream: what is put there, what has gone wrong, and how long is waited.

#include <sdp/comm/stream.hpp>
#include <sdp/cuda/executor.hpp>
#include <sdp/detail/exchange_check.hpp>

#include <nccl.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <exception>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

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

struct nccl_options {
    std::chrono::milliseconds timeout = std::chrono::minutes(10); ///< for any one wait on peers
};

namespace detail {

    /// @throws sdp::nccl_error naming the call
    inline void check_nccl(ncclResult_t code, const char* call)
    {
        if (code != ncclSuccess && code != ncclInProgress)
            throw nccl_error(text(call, " failed: ", ncclGetErrorString(code)), code);
    }

    /// Closes a group of calls also when one of them throws.
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

    /// What copies of a communicator share.
    class nccl_state {
    public:
        nccl_state(ncclComm_t handle, bool owned, cudaStream_t host, const nccl_options& options)
            : handle_(handle)
            , owned_(owned)
            , options_(options)
            , executor_(host, [this](const cuda::event& e) { wait(e, options_.timeout); })
        {
            check_nccl(ncclCommUserRank(handle, &rank_), "ncclCommUserRank");
            check_nccl(ncclCommCount(handle, &size_), "ncclCommCount");
            check_ = exchange_check(rank_, size_);
            for (auto& m : marks_)
                m.peers.reserve(static_cast<std::size_t>(size_));
        }
        nccl_state(const nccl_state&) = delete;
        nccl_state& operator=(const nccl_state&) = delete;
        /// What is still on the stream is waited for, with the time-out; not while an exception is on its way, when peers may
        /// never send what it waits for.
        ~nccl_state()
        {
            try {
                if (!aborted_ && std::uncaught_exceptions() == 0) {
                    cuda::event last;
                    last.record(executor_.stream());
                    wait(last, options_.timeout);
                } else {
                    abort();
                }
            } catch (...) {
                abort();
            }
            if (owned_ && !aborted_)
                ncclCommDestroy(handle_);
        }

        [[nodiscard]] int rank() const noexcept { return rank_; }
        [[nodiscard]] int size() const noexcept { return size_; }
        [[nodiscard]] cuda::executor& executor() noexcept { return executor_; }

        [[nodiscard]] bool aborted() const noexcept { return aborted_; }
        void abort() noexcept
        {
            if (!std::exchange(aborted_, true))
                ncclCommAbort(handle_);
        }

        /// @throws sdp::nccl_error if NCCL has found an error meanwhile
        void check()
        {
            if (aborted_)
                throw nccl_error(text("rank ", rank_, " cannot go on: its NCCL communicator was aborted"), ncclInvalidUsage);
            ncclResult_t code = ncclSuccess;
            check_nccl(ncclCommGetAsyncError(handle_, &code), "ncclCommGetAsyncError");
            if (code == ncclSuccess || code == ncclInProgress)
                return;
            const auto who = unfinished();
            abort();
            throw nccl_error(
                text("rank ", rank_, ": NCCL has failed in an exchange with ", who, ": ", ncclGetErrorString(code)), code);
        }

        /// Grouped messages between devices, on the stream.
        void exchange(std::span<const outgoing> sends, std::span<const incoming> receives)
        {
            if (sends.empty() && receives.empty())
                return;
            check_(0, sends, receives);
            const auto stream = executor_.stream();
            nccl_group group;
            for (const auto& m : receives)
                check_nccl(ncclRecv(m.data, m.bytes, ncclInt8, m.peer, handle_, stream), "ncclRecv");
            for (const auto& m : sends)
                check_nccl(ncclSend(m.data, m.bytes, ncclInt8, m.peer, handle_, stream), "ncclSend");
            settle(group.end(), "ncclGroupEnd");
            if (executor_.capturing())
                return; // nothing is under way, and an event of a graph cannot be asked whether it is reached
            auto& latest = marks_[next_mark_++ % marks_.size()];
            latest.peers.clear();
            for (const auto& m : receives)
                latest.peers.push_back(m.peer);
            for (const auto& m : sends)
                latest.peers.push_back(m.peer);
            latest.done.record(stream);
            latest.used = true;
        }

        void all_reduce(void* data, std::size_t count, element_type type)
        {
            const auto kind = type == element_type::f64 ? ncclDouble
                : type == element_type::bf16            ? ncclBfloat16
                : type == element_type::f16             ? ncclHalf
                                                        : ncclFloat;
            settle(ncclAllReduce(data, data, count, kind, ncclSum, handle_, executor_.stream()), "ncclAllReduce");
        }

        /// Returns when the event is reached.
        /// @throws sdp::nccl_error naming the peers of the first exchange that is not done
        void wait(const cuda::event& e, std::chrono::milliseconds limit)
        {
            const auto end = std::chrono::steady_clock::now() + std::min(limit, longest);
            while (!e.reached()) {
                check();
                if (std::chrono::steady_clock::now() >= end) {
                    const auto who = unfinished();
                    abort();
                    throw nccl_error(
                        text("rank ", rank_, " waited ", limit.count(), " ms for an exchange with ", who), ncclSystemError);
                }
                std::this_thread::sleep_for(std::chrono::microseconds(20));
            }
        }

        exchange_check& checks() noexcept { return check_; }

    private:
        static constexpr std::chrono::milliseconds longest = std::chrono::hours(24 * 365); ///< keeps sums from overflowing

        /// An exchange on the stream.
        struct mark {
            cuda::event done;
            std::vector<int> peers;
            bool used = false;
        };

        /// Communicators that do not block may return before what they were given is on the stream.
        void settle(ncclResult_t code, const char* call)
        {
            const auto end = std::chrono::steady_clock::now() + std::min(options_.timeout, longest);
            while (code == ncclInProgress) {
                if (std::chrono::steady_clock::now() >= end) {
                    abort();
                    throw nccl_error(
                        text("rank ", rank_, ": ", call, " took longer than ", options_.timeout.count(), " ms"), code);
                }
                std::this_thread::yield();
                check_nccl(ncclCommGetAsyncError(handle_, &code), "ncclCommGetAsyncError");
            }
            check_nccl(code, call);
        }

        [[nodiscard]] std::string unfinished() const
        {
            for (std::size_t i = 0; i < marks_.size(); ++i) {
                const auto& m = marks_[(next_mark_ + i) % marks_.size()]; // the oldest first
                if (!m.used || m.done.reached())
                    continue;
                std::string out = m.peers.size() == 1 ? "rank" : "ranks";
                std::vector<int> peers = m.peers;
                std::sort(peers.begin(), peers.end());
                peers.erase(std::unique(peers.begin(), peers.end()), peers.end());
                for (const int peer : peers)
                    out += text(" ", peer);
                return out;
            }
            return "ranks that are not known";
        }

        ncclComm_t handle_;
        bool owned_;
        nccl_options options_;
        int rank_ = 0, size_ = 1;
        bool aborted_ = false;
        exchange_check check_ {0, 1};
        cuda::executor executor_;
        std::array<mark, 64> marks_;
        std::size_t next_mark_ = 0;
    };

} // namespace detail

} // namespace sdp
