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

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <utility>
#include <vector>

namespace sdp::detail {

/// State of one rank. The lock only serves callers that use one rank from several threads.
struct thread_endpoint {
    thread_endpoint(int rank, int size)
        : check(rank, size)
        , batches(size)
    {
    }

    thread_bell bell; ///< wakes this rank
    thread_bell progress; ///< wakes peers that wait for this rank
    std::atomic<bool> left = false;
    std::mutex mutex;
    exchange_check check;
    thread_batches batches;
};

/// All ranks of a group, and the lanes between them.
class thread_fabric {
public:
    /// @throws sdp::error for fewer than one worker
    explicit thread_fabric(int size)
        : size_(size)
        , memories_(static_cast<std::size_t>(std::max(size, 1)))
    {
        if (size < 1)
            fail("a group of ", size, " workers; at least 1 is needed");
        const auto count = static_cast<std::size_t>(size);
        lanes_ = std::vector<thread_lane>(count * count);
        for (int rank = 0; rank < size; ++rank)
            endpoints_.push_back(std::make_unique<thread_endpoint>(rank, size));
    }

    [[nodiscard]] int size() const noexcept { return size_; }
    [[nodiscard]] int failing_rank() const noexcept { return failing_rank_.load(); }

    void abort(int rank) noexcept
    {
        int nobody = -1;
        failing_rank_.compare_exchange_strong(nobody, rank); // the first call decides the cause
        ring_all();
    }

    void leave(int rank) noexcept
    {
        endpoint(rank).left.store(true);
        ring_all();
    }

    [[nodiscard]] thread_batch* post(
        int rank, exchange_tag tag, std::span<const outgoing> sends, std::span<const incoming> receives)
    {
        auto* const batch = prepare(rank, tag, sends, receives);
        if (batch != nullptr)
            for (auto& message : batch->used())
                post(rank, message);
        return batch;
    }

    /// Copies the messages that are ready. True once the batch is complete.
    [[nodiscard]] bool progress(int rank, thread_batch& batch)
    {
        bool complete = true;
        for (auto& message : batch.used()) {
            if (message.stage.load(std::memory_order_acquire) == thread_stage::matched)
                copy(rank, message);
            complete = complete && message.stage.load(std::memory_order_acquire) == thread_stage::done;
        }
        if (!complete)
            throw_if_hopeless(rank, batch);
        return complete;
    }

    void wait(int rank, thread_batch& batch, std::chrono::milliseconds limit)
    {
        endpoint(rank).bell.sleep_until(
            limit, [&] { return progress(rank, batch); }, [&] { throw_if_late(rank, batch, limit); });
    }

    /// Opens this rank's part of the group's next memory, without waiting for the others. The memory owns `keep`.
    [[nodiscard]] std::shared_ptr<thread_memory> open_memory(int rank, std::size_t bytes, std::shared_ptr<void> keep)
    {
        return memories_.open(static_cast<std::size_t>(rank), bytes, std::move(keep));
    }

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

    void recycle(int rank, thread_batch* batch) noexcept
    {
        auto& self = endpoint(rank);
        const std::lock_guard lock(self.mutex);
        self.batches.put_back(batch);
    }

    /// Removes an unfinished batch from the lanes. Its messages can never be matched correctly again, so the group is aborted.
    void give_up(int rank, thread_batch* batch) noexcept
    {
        bool unfinished = false;
        for (auto& message : batch->used()) {
            const auto stage = message.stage.load(std::memory_order_acquire);
            unfinished = unfinished || (stage != thread_stage::done && stage != thread_stage::mismatched);
        }
        if (unfinished)
            abort(rank);
        for (auto& message : batch->used())
            withdraw(rank, message);
        recycle(rank, batch);
    }

private:
    [[nodiscard]] thread_endpoint& endpoint(int rank) noexcept { return *endpoints_[static_cast<std::size_t>(rank)]; }

    [[nodiscard]] thread_lane& lane_of(int rank, const thread_message& message) noexcept
    {
        const int sender = message.outgoing ? rank : message.peer;
        const int receiver = message.outgoing ? message.peer : rank;
        return lanes_[static_cast<std::size_t>(sender) * static_cast<std::size_t>(size_) + static_cast<std::size_t>(receiver)];
    }

    void ring_all() noexcept
    {
        for (const auto& each : endpoints_) {
            each->bell.ring();
            each->progress.ring();
        }
    }

    [[nodiscard]] thread_batch* prepare(
        int rank, exchange_tag tag, std::span<const outgoing> sends, std::span<const incoming> receives)
    {
        auto& self = endpoint(rank);
        const std::lock_guard lock(self.mutex);
        self.check(tag, sends, receives);
        if (const int cause = failing_rank(); cause >= 0)
            fail_by_peer<aborted_error>(
                rank, cause, "rank ", rank, " cannot start an exchange with tag ", tag, ": rank ", cause, " has failed");
        if (sends.empty() && receives.empty())
            return nullptr;
        return self.batches.take(tag, sends, receives);
    }

    void post(int rank, thread_message& message) noexcept
    {
        auto& lane = lane_of(rank, message);
        {
            const std::lock_guard lock(lane.mutex);
            auto* const partner = lane.match_or_append(message);
            if (partner == nullptr)
                return;
            const bool fits = partner->bytes == message.bytes;
            const auto stage = fits ? thread_stage::matched : thread_stage::mismatched;
            message.partner = partner;
            message.other_bytes = partner->bytes;
            partner->partner = &message;
            partner->other_bytes = message.bytes;
            message.stage.store(stage, std::memory_order_release);
            partner->stage.store(stage, std::memory_order_release);
        }
        endpoint(message.peer).bell.ring();
    }

    void copy(int rank, thread_message& message) noexcept
    {
        auto* const partner = claim(rank, message);
        if (partner == nullptr)
            return;
        const auto& from = message.outgoing ? message : *partner;
        const auto& to = message.outgoing ? *partner : message;
        std::memcpy(to.target, from.source, message.bytes);
        message.stage.store(thread_stage::done, std::memory_order_release);
        partner->stage.store(thread_stage::done, std::memory_order_release); // the partner may be reused from here on
        endpoint(message.peer).bell.ring();
    }

    /// The partner, if this worker has obtained the right to copy; null otherwise.
    [[nodiscard]] thread_message* claim(int rank, thread_message& message) noexcept
    {
        const std::lock_guard lock(lane_of(rank, message).mutex);
        if (message.stage.load(std::memory_order_relaxed) != thread_stage::matched)
            return nullptr;
        message.stage.store(thread_stage::copying, std::memory_order_relaxed);
        message.partner->stage.store(thread_stage::copying, std::memory_order_relaxed);
        return message.partner;
    }

    void withdraw(int rank, thread_message& message) noexcept
    {
        auto& lane = lane_of(rank, message);
        {
            const std::lock_guard lock(lane.mutex);
            const auto stage = message.stage.load(std::memory_order_relaxed);
            if (stage == thread_stage::waiting)
                lane.remove(message);
            else if (stage == thread_stage::matched)
                message.partner->stage.store(thread_stage::withdrawn, std::memory_order_release);
        }
        // Waits for a copy in progress, which is short and uses this worker's buffer.
        while (message.stage.load(std::memory_order_acquire) == thread_stage::copying)
            std::this_thread::yield();
    }

    void throw_if_aborted(int rank) const
    {
        if (const int cause = failing_rank(); cause >= 0)
            fail_by_peer<aborted_error>(
                rank, cause, "rank ", rank, " cannot go on with its exchange: rank ", cause, " has failed");
    }

    void throw_if_hopeless(int rank, thread_batch& batch)
    {
        for (auto& message : batch.used())
            if (message.stage.load(std::memory_order_acquire) == thread_stage::mismatched) {
                const int sender = message.outgoing ? rank : message.peer;
                const int receiver = message.outgoing ? message.peer : rank;
                fail("the message from rank ", sender, " to rank ", receiver, " with tag ", message.tag, " has ",
                    message.outgoing ? message.bytes : message.other_bytes, " bytes, but the receiver expects ",
                    message.outgoing ? message.other_bytes : message.bytes);
            }
        throw_if_aborted(rank);
        for (auto& message : batch.used()) {
            // `left` is read first: everything a rank posted before it left is visible once `left` is.
            if (endpoint(message.peer).left.load() && message.stage.load(std::memory_order_acquire) == thread_stage::waiting)
                fail_by_peer(rank, message.peer, "rank ", rank, " waits ", action(message), message.peer, " (tag ", message.tag,
                    ", ", message.bytes, " bytes), but rank ", message.peer,
                    " has left the group without its part of the exchange");
        }
    }

    void throw_if_late(int rank, thread_batch& batch, std::chrono::milliseconds limit)
    {
        for (auto& message : batch.used())
            if (message.stage.load(std::memory_order_acquire) == thread_stage::waiting)
                fail_by_peer<timeout_error>(rank, message.peer, "rank ", rank, " waited ", limit.count(), " ms ", action(message),
                    message.peer, " (tag ", message.tag, ", ", message.bytes, " bytes)");
    }

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
