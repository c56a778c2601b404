// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Batches: the messages of one exchange between threads, in objects that later exchanges reuse.

#include <sdp/comm/communicator.hpp>
#include <sdp/comm/detail/thread_lane.hpp>

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

namespace sdp::detail {

/// The messages of one exchange. Holds any exchange of its group, so that later calls can reuse it.
struct thread_batch {
    std::unique_ptr<thread_message[]> messages;
    std::size_t count = 0;
    thread_batch* next_free = nullptr;

    [[nodiscard]] std::span<thread_message> used() noexcept { return {messages.get(), count}; }
};

/// The batches of one rank. The caller holds the lock.
class thread_batches {
public:
    explicit thread_batches(int size)
        : most_(2 * static_cast<std::size_t>(size - 1)) // the largest exchange has one message per peer and direction
    {
    }

    /// A batch of the given messages, posted to no lane yet.
    [[nodiscard]] thread_batch* take(exchange_tag tag, std::span<const outgoing> sends, std::span<const incoming> receives);

    void put_back(thread_batch* batch) noexcept
    {
        batch->next_free = free_;
        free_ = batch;
    }

private:
    [[nodiscard]] static thread_message& next_message(thread_batch& batch, exchange_tag tag, int peer, std::size_t bytes) noexcept
    {
        auto& message = batch.messages[batch.count++];
        message.tag = tag;
        message.peer = peer;
        message.bytes = bytes;
        message.partner = nullptr;
        message.stage.store(thread_stage::waiting, std::memory_order_relaxed);
        return message;
    }

    std::size_t most_;
    std::vector<std::unique_ptr<thread_batch>> batches_;
    thread_batch* free_ = nullptr;
};

} // namespace sdp::detail

#ifndef SDP_SEPARATE_COMPILATION
#include <sdp/src/comm/detail/thread_batch.ipp>
#endif
