// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief State of the `threads` communicator: matches messages between threads of one process and copies their bytes.
///
/// A message is a rendezvous. The end that is posted second finds the first in the lane of its (sender, receiver) pair. Then the
/// first of the two workers that waits or tests copies the bytes, once, from the sender's memory into the receiver's. Copying at
/// the match would be simpler, but the last worker to post would copy everything while the others sleep.

#include <sdp/comm/detail/exchange_check.hpp>
#include <sdp/comm/detail/thread_batch.hpp>
#include <sdp/comm/detail/thread_bell.hpp>
#include <sdp/comm/detail/thread_lane.hpp>
#include <sdp/comm/detail/thread_memory.hpp>
#include <sdp/error.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

namespace sdp::detail {

/// State of one rank. The lock only serves callers that use one rank from several threads.
struct thread_endpoint {
    thread_endpoint(int rank, int size)
        : check_exchange(rank, size)
        , batches(size)
    {
    }

    thread_bell bell; ///< wakes this rank
    thread_bell progress; ///< wakes peers that wait for this rank
    std::atomic<bool> left = false;
    std::mutex mutex;
    exchange_check check_exchange;
    thread_batches batches;
};

/// All ranks of a group, and the lanes between them.
class thread_fabric {
public:
    /// @throws sdp::input_error for fewer than one worker
    explicit thread_fabric(int size);

    [[nodiscard]] int size() const noexcept { return size_; }
    [[nodiscard]] int failing_rank() const noexcept { return failing_rank_.load(); }

    void abort(int rank) noexcept;

    void leave(int rank) noexcept;

    [[nodiscard]] thread_batch* post(
        int rank, exchange_tag tag, std::span<const outgoing> sends, std::span<const incoming> receives);

    /// Copies the messages that are ready. True once the batch is complete.
    [[nodiscard]] bool progress(int rank, thread_batch& batch);

    void wait(int rank, thread_batch& batch, std::chrono::milliseconds limit);

    /// Opens this rank's part of the group's next memory, without waiting for the others. The memory owns `keep`.
    [[nodiscard]] std::shared_ptr<thread_memory> open_memory(int rank, std::size_t bytes, std::shared_ptr<void> keep);

    /// Wakes peers that wait for a change in the memory of `rank`.
    void announce(int rank) noexcept { endpoint(rank).progress.ring(); }

    /// Returns once `done()` is true, which `peer` makes true and announces by `ring`.
    template <class Done> void wait_for(int rank, int peer, Done done, std::chrono::milliseconds limit)
    {
        const auto hopeless = [&] {
            throw_if_aborted(rank);
            // `left` is read first: everything a rank did before it left is visible once `left` is.
            if (endpoint(peer).left.load() && !done())
                fail_by_peer(rank, peer, "rank ", rank, " waits for rank ", peer, ", but rank ", peer,
                    " has left the group without its part of the exchange");
        };
        endpoint(peer).progress.sleep_until(
            limit,
            [&] {
                if (done())
                    return true;
                hopeless();
                return done();
            },
            [&] {
                fail_by_peer<timeout_error>(
                    rank, peer, "rank ", rank, " waited ", limit.count(), " ms for rank ", peer, " in the memory they share");
            });
    }

    void recycle(int rank, thread_batch* batch) noexcept;

    /// Removes an unfinished batch from the lanes. Its messages can never be matched correctly again, so the group is aborted.
    void give_up(int rank, thread_batch* batch) noexcept;

private:
    [[nodiscard]] thread_endpoint& endpoint(int rank) noexcept { return *endpoints_[static_cast<std::size_t>(rank)]; }

    [[nodiscard]] thread_lane& lane_of(int rank, const thread_message& message) noexcept
    {
        const int sender = message.outgoing ? rank : message.peer;
        const int receiver = message.outgoing ? message.peer : rank;
        return lanes_[static_cast<std::size_t>(sender) * static_cast<std::size_t>(size_) + static_cast<std::size_t>(receiver)];
    }

    void ring_all() noexcept;

    [[nodiscard]] thread_batch* prepare(
        int rank, exchange_tag tag, std::span<const outgoing> sends, std::span<const incoming> receives);

    void post(int rank, thread_message& message) noexcept;

    void copy(int rank, thread_message& message) noexcept;

    /// The partner, if this worker has obtained the right to copy; null otherwise.
    [[nodiscard]] thread_message* claim(int rank, thread_message& message) noexcept;

    void withdraw(int rank, thread_message& message) noexcept;

    void throw_if_aborted(int rank) const;

    void throw_if_hopeless(int rank, thread_batch& batch);

    void throw_if_late(int rank, thread_batch& batch, std::chrono::milliseconds limit);

    [[nodiscard]] static const char* action(const thread_message& message) noexcept
    {
        return message.outgoing ? "to send to rank " : "to receive from rank ";
    }

    int size_;
    std::atomic<int> failing_rank_ = -1;
    std::vector<thread_lane> lanes_;
    std::vector<std::unique_ptr<thread_endpoint>> endpoints_;
    thread_memories memories_;
};

} // namespace sdp::detail

#ifndef SDP_SEPARATE_COMPILATION
#include <sdp/src/comm/detail/thread_fabric.ipp>
#endif
