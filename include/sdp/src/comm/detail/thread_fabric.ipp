// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Posts, matches and copies the messages between threads.

#include <sdp/comm/detail/thread_fabric.hpp>
#include <sdp/src/separate.hpp>

#include <algorithm>
#include <cstring>
#include <thread>

namespace sdp::detail {

SDP_INLINE thread_fabric::thread_fabric(int size)
    : size_(size)
    , memories_(static_cast<std::size_t>((std::max)(size, 1)))
{
    if (size < 1)
        fail("a group of ", size, " workers; at least 1 is needed");
    const auto count = static_cast<std::size_t>(size);
    lanes_ = std::vector<thread_lane>(count * count);
    for (int rank = 0; rank < size; ++rank)
        endpoints_.push_back(std::make_unique<thread_endpoint>(rank, size));
}

SDP_INLINE void thread_fabric::abort(int rank) noexcept
{
    int nobody = -1;
    failing_rank_.compare_exchange_strong(nobody, rank); // the first call decides the cause
    ring_all();
}

SDP_INLINE void thread_fabric::leave(int rank) noexcept
{
    endpoint(rank).left.store(true);
    ring_all();
}

SDP_INLINE thread_batch* thread_fabric::post(
    int rank, exchange_tag tag, std::span<const outgoing> sends, std::span<const incoming> receives)
{
    auto* const batch = prepare(rank, tag, sends, receives);
    if (batch != nullptr)
        for (auto& message : batch->used())
            post(rank, message);
    return batch;
}

SDP_INLINE bool thread_fabric::progress(int rank, thread_batch& batch)
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

SDP_INLINE void thread_fabric::wait(int rank, thread_batch& batch, std::chrono::milliseconds limit)
{
    endpoint(rank).bell.sleep_until(
        limit, [&] { return progress(rank, batch); }, [&] { throw_if_late(rank, batch, limit); });
}

SDP_INLINE std::shared_ptr<thread_memory> thread_fabric::open_memory(int rank, std::size_t bytes, std::shared_ptr<void> keep)
{
    return memories_.open(static_cast<std::size_t>(rank), bytes, std::move(keep));
}

SDP_INLINE void thread_fabric::recycle(int rank, thread_batch* batch) noexcept
{
    auto& self = endpoint(rank);
    const std::lock_guard lock(self.mutex);
    self.batches.put_back(batch);
}

SDP_INLINE void thread_fabric::give_up(int rank, thread_batch* batch) noexcept
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

SDP_INLINE void thread_fabric::ring_all() noexcept
{
    for (const auto& each : endpoints_) {
        each->bell.ring();
        each->progress.ring();
    }
}

SDP_INLINE thread_batch* thread_fabric::prepare(
    int rank, exchange_tag tag, std::span<const outgoing> sends, std::span<const incoming> receives)
{
    auto& self = endpoint(rank);
    const std::lock_guard lock(self.mutex);
    self.check_exchange(tag, sends, receives);
    if (const int cause = failing_rank(); cause >= 0)
        fail_by_peer<aborted_error>(
            rank, cause, "rank ", rank, " cannot start an exchange with tag ", tag, ": rank ", cause, " has failed");
    if (sends.empty() && receives.empty())
        return nullptr;
    return self.batches.take(tag, sends, receives);
}

SDP_INLINE void thread_fabric::post(int rank, thread_message& message) noexcept
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

SDP_INLINE void thread_fabric::copy(int rank, thread_message& message) noexcept
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

SDP_INLINE thread_message* thread_fabric::claim(int rank, thread_message& message) noexcept
{
    const std::lock_guard lock(lane_of(rank, message).mutex);
    if (message.stage.load(std::memory_order_relaxed) != thread_stage::matched)
        return nullptr;
    message.stage.store(thread_stage::copying, std::memory_order_relaxed);
    message.partner->stage.store(thread_stage::copying, std::memory_order_relaxed);
    return message.partner;
}

SDP_INLINE void thread_fabric::withdraw(int rank, thread_message& message) noexcept
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

SDP_INLINE void thread_fabric::throw_if_aborted(int rank) const
{
    if (const int cause = failing_rank(); cause >= 0)
        fail_by_peer<aborted_error>(rank, cause, "rank ", rank, " cannot go on with its exchange: rank ", cause, " has failed");
}

SDP_INLINE void thread_fabric::throw_if_hopeless(int rank, thread_batch& batch)
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
            fail_by_peer(rank, message.peer, "rank ", rank, " waits ", action(message), message.peer, " (tag ", message.tag, ", ",
                message.bytes, " bytes), but rank ", message.peer, " has left the group without its part of the exchange");
    }
}

SDP_INLINE void thread_fabric::throw_if_late(int rank, thread_batch& batch, std::chrono::milliseconds limit)
{
    for (auto& message : batch.used())
        if (message.stage.load(std::memory_order_acquire) == thread_stage::waiting)
            fail_by_peer<timeout_error>(rank, message.peer, "rank ", rank, " waited ", limit.count(), " ms ", action(message),
                message.peer, " (tag ", message.tag, ", ", message.bytes, " bytes)");
}

} // namespace sdp::detail
