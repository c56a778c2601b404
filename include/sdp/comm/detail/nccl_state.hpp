// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief State of the `nccl` communicator: NCCL's handle, its stream, pending exchanges, errors and time-outs.

#include <sdp/comm/detail/exchange_check.hpp>
#include <sdp/comm/detail/nccl_calls.hpp>
#include <sdp/comm/stream.hpp>
#include <sdp/cuda/executor.hpp>

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

namespace sdp::detail {

/// State shared by all copies of a communicator.
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
            m.peers.reserve(2 * static_cast<std::size_t>(size_));
        captured_mark_.peers.reserve(2 * static_cast<std::size_t>(size_));
    }
    nccl_state(const nccl_state&) = delete;
    nccl_state& operator=(const nccl_state&) = delete;
    /// Waits for the stream, with the time-out. Does not wait during an exception, when peers may never send the messages that
    /// the stream waits for.
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
        if (owned_ && !aborted_ && !close_communicator(handle_, options_.timeout))
            abort();
    }

    [[nodiscard]] int rank() const noexcept { return rank_; }
    [[nodiscard]] int size() const noexcept { return size_; }
    [[nodiscard]] cuda::executor& executor() noexcept { return executor_; }

    [[nodiscard]] bool aborted() const noexcept { return aborted_; }
    /// Aborts the communicator. If a graph has captured exchanges, NCCL stops the work on its streams and then waits without a
    /// limit until the graph is destroyed, so a detached thread makes that call.
    void abort() noexcept
    {
        if (std::exchange(aborted_, true))
            return;
        try {
            if (captured_) {
                std::thread([handle = handle_] { ncclCommAbort(handle); }).detach();
                return;
            }
        } catch (...) { // no thread could be started
        }
        ncclCommAbort(handle_);
    }

    /// @throws sdp::nccl_error if NCCL has found an error in the meantime
    void throw_if_failed()
    {
        refuse_aborted();
        ncclResult_t code = ncclSuccess;
        check_nccl(ncclCommGetAsyncError(handle_, &code), "ncclCommGetAsyncError");
        if (code == ncclSuccess || code == ncclInProgress)
            return;
        const auto [who, peer] = unfinished();
        abort();
        throw nccl_error(text("rank ", rank_, ": NCCL has failed in an exchange with ", who, ": ", ncclGetErrorString(code)),
            code, rank_, peer);
    }

    /// Enqueues grouped messages between devices on the stream.
    void exchange(std::span<const outgoing> sends, std::span<const incoming> receives)
    {
        if (sends.empty() && receives.empty())
            return;
        refuse_aborted();
        check_(0, sends, receives);
        const auto stream = executor_.stream();
        const bool capturing = executor_.capturing();
        captured_ = captured_ || capturing;
        auto& latest = capturing ? captured_mark_ : marks_[next_mark_ % marks_.size()];
        // A device queues a limited number of launches and blocks the next without a limit, so the host waits here before it is
        // too far ahead.
        if (latest.used)
            wait(latest.done, options_.timeout);
        latest.used = false;
        latest.peers.clear();
        for (const auto& m : receives)
            latest.peers.push_back(m.peer);
        for (const auto& m : sends)
            latest.peers.push_back(m.peer);
        nccl_group group;
        auto code = ncclSuccess;
        for (auto m = receives.begin(); m != receives.end() && accepted(code); ++m)
            code = ncclRecv(m->data, m->bytes, ncclInt8, m->peer, handle_, stream);
        for (auto m = sends.begin(); m != sends.end() && accepted(code); ++m)
            code = ncclSend(m->data, m->bytes, ncclInt8, m->peer, handle_, stream);
        const auto ended = group.end();
        settle(accepted(code) ? ended : code, "exchange", latest.peers);
        if (capturing)
            return; // a captured exchange is not pending, and its event cannot be queried
        latest.done.record(stream);
        latest.used = true;
        ++next_mark_;
    }

    void all_reduce(void* data, std::size_t count, element_type type)
    {
        refuse_aborted();
        captured_ = captured_ || executor_.capturing();
        const auto kind = type == element_type::f64 ? ncclDouble
            : type == element_type::bf16            ? ncclBfloat16
            : type == element_type::f16             ? ncclHalf
                                                    : ncclFloat;
        settle(ncclAllReduce(data, data, count, kind, ncclSum, handle_, executor_.stream()), "all-reduce", {});
    }

    /// Returns once the event is reached.
    /// @throws sdp::timeout_error, or sdp::nccl_error if NCCL fails, naming the peers of the first unfinished exchange
    void wait(const cuda::event& e, std::chrono::milliseconds limit)
    {
        const auto end = end_of(limit);
        while (!e.reached()) {
            throw_if_failed();
            if (std::chrono::steady_clock::now() >= end) {
                const auto [who, peer] = unfinished();
                abort();
                fail_by_peer<timeout_error>(
                    rank_, peer, "rank ", rank_, " waited ", limit.count(), " ms for an exchange with ", who);
            }
            std::this_thread::sleep_for(std::chrono::microseconds(20));
        }
    }

    exchange_check& checks() noexcept { return check_; }

private:
    /// A pending exchange on the stream.
    struct mark {
        cuda::event done;
        std::vector<int> peers;
        bool used = false;
    };

    void refuse_aborted() const
    {
        if (aborted_)
            throw nccl_error(text("rank ", rank_, " cannot go on: its NCCL communicator was aborted"), ncclInvalidUsage, rank_);
    }

    [[nodiscard]] static bool accepted(ncclResult_t code) noexcept { return code == ncclSuccess || code == ncclInProgress; }

    /// Waits until the operations given to NCCL are on the stream, which non-blocking communicators enqueue later.
    /// @throws sdp::timeout_error, or sdp::nccl_error if NCCL fails, naming the peers
    void settle(ncclResult_t begun, const char* what, std::span<const int> peers)
    {
        const auto code = outcome_of(handle_, begun, options_.timeout);
        if (code == ncclSuccess)
            return;
        abort();
        const auto with = peers.empty() ? std::string("all ranks") : names(peers);
        if (code == ncclInProgress)
            fail_by_peer<timeout_error>(rank_, single(peers), "rank ", rank_, " waited ", options_.timeout.count(), " ms for an ",
                what, " with ", with, " to begin");
        throw nccl_error(text("rank ", rank_, ": an ", what, " with ", with, " failed in NCCL: ", ncclGetErrorString(code)), code,
            rank_, single(peers));
    }

    [[nodiscard]] static std::string names(std::span<const int> ranks)
    {
        std::vector<int> peers(ranks.begin(), ranks.end());
        std::sort(peers.begin(), peers.end());
        peers.erase(std::unique(peers.begin(), peers.end()), peers.end());
        std::string out = peers.size() == 1 ? "rank" : "ranks";
        for (const int peer : peers)
            out += text(" ", peer);
        return out;
    }

    /// The rank that all of these are, or −1.
    [[nodiscard]] static int single(std::span<const int> ranks) noexcept
    {
        return !ranks.empty() && std::ranges::all_of(ranks, [&](int rank) { return rank == ranks[0]; }) ? ranks[0] : -1;
    }

    /// The names of the peers of the first unfinished exchange, and the peer if it is one.
    [[nodiscard]] std::pair<std::string, int> unfinished() const
    {
        for (std::size_t i = 0; i < marks_.size(); ++i) {
            const auto& m = marks_[(next_mark_ + i) % marks_.size()]; // oldest first
            if (m.used && !m.done.reached())
                return {names(m.peers), single(m.peers)};
        }
        return {"ranks that are not known", -1};
    }

    ncclComm_t handle_;
    bool owned_;
    nccl_options options_;
    int rank_ = 0, size_ = 1;
    bool aborted_ = false;
    bool captured_ = false; ///< a graph has captured exchanges of this communicator
    exchange_check check_ {0, 1};
    cuda::executor executor_;
    std::array<mark, 128> marks_;
    mark captured_mark_; ///< only holds the names of peers
    std::size_t next_mark_ = 0;
};

} // namespace sdp::detail
