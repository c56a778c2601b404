// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Fills the batches of a rank.

#include <sdp/comm/detail/thread_batch.hpp>
#include <sdp/src/separate.hpp>

#include <memory>
#include <utility>

namespace sdp::detail {

SDP_INLINE thread_batch* thread_batches::take(
    exchange_tag tag, std::span<const outgoing> sends, std::span<const incoming> receives)
{
    if (free_ == nullptr) {
        auto fresh = std::make_unique<thread_batch>();
        fresh->messages = std::make_unique<thread_message[]>(most_);
        batches_.push_back(std::move(fresh));
        free_ = batches_.back().get();
    }
    auto* const batch = free_;
    free_ = batch->next_free;
    batch->count = 0;
    for (const auto& each : receives) {
        auto& message = next_message(*batch, tag, each.peer, each.bytes);
        message.outgoing = false;
        message.target = each.data;
    }
    for (const auto& each : sends) {
        auto& message = next_message(*batch, tag, each.peer, each.bytes);
        message.outgoing = true;
        message.source = each.data;
    }
    return batch;
}

} // namespace sdp::detail
