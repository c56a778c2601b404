// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Opens the memory of a group.

#include <sdp/comm/detail/thread_memory.hpp>
#include <sdp/src/separate.hpp>

#include <utility>

namespace sdp::detail {

SDP_INLINE std::shared_ptr<thread_memory> thread_memories::open(std::size_t rank, std::size_t bytes, std::shared_ptr<void> keep)
{
    std::vector<thread_memory::line> mine((bytes + sizeof(thread_memory::line) - 1) / sizeof(thread_memory::line));
    const std::lock_guard lock(mutex_);
    const auto at = unfinished_.try_emplace(opened_[rank]++).first;
    if (!at->second)
        at->second = std::make_shared<thread_memory>(opened_.size());
    auto out = at->second;
    auto& place = out->own[rank];
    place = std::move(mine);
    out->kept[rank] = std::move(keep);
    out->visible[rank].store(place.empty() ? nullptr : place.front().bytes, std::memory_order_release);
    if (++out->opened == opened_.size())
        unfinished_.erase(at); // the ranks' own pointers keep it alive from now on
    return out;
}

} // namespace sdp::detail
