// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Lays out a worker's segment, and finds places in the segments of others.

#include <sdp/detail/host/segment_layout.hpp>
#include <sdp/src/separate.hpp>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>

namespace sdp::detail {

SDP_INLINE segment_layout::segment_layout(const overlap_plan& plan, const peer_table& peers, std::span<const bucket> buckets,
    std::span<const route_kind> routes, const segment_options& options)
    : plan_(&plan)
    , peers_(&peers)
    , bucket_count_(buckets.size())
    , one_address_space_(options.one_address_space)
    , remotes_(peers.ranks.size())
{
    if (options.in_tensors)
        list_pieces(routes);
    const std::size_t count = peers.ranks.size();
    own_.counters = reserve(2 * buckets.size() * sizeof(std::uint64_t));
    own_.peer_count = count;
    own_.peers = reserve(count * sizeof(int));
    own_.sections = reserve(count * buckets.size() * sizeof(std::uint64_t));
    if (options.in_tensors) {
        own_.views = reserve(plan.first_piece.size() * sizeof(tensor_view));
        own_.pieces = place_array(plan.pieces);
        own_.patterns = place_array(plan.patterns);
        own_.runs = place_array(plan.runs);
        own_.first_piece = place_array(plan.first_piece);
        own_.owned = place_array(owned_);
        own_.owned_from = place_array(owned_from_);
    }
    for (const auto bytes : options.gradient_bytes)
        gradients_at_.push_back(reserve(bytes));
    for (const auto& b : buckets)
        slot_bytes_ = (std::max)(slot_bytes_, b.exposed_bytes);
    slots_ = slot_bytes_ > 0 ? (std::min)(options.slots, buckets.size()) : 0;
    slots_at_ = reserve(slots_ * slot_bytes_);
}

SDP_INLINE void segment_layout::settle(std::byte* base, std::span<const bucket> buckets)
{
    base_ = base;
    std::copy(peers_->ranks.begin(), peers_->ranks.end(), reinterpret_cast<int*>(base + own_.peers));
    auto* const sections = reinterpret_cast<std::uint64_t*>(base + own_.sections);
    for (std::size_t i = 0; i < peers_->ranks.size(); ++i)
        for (std::size_t b = 0; b < bucket_count_; ++b)
            sections[i * bucket_count_ + b] = slot(b) + buckets[b].peers[i].exposed_at;
    if (own_.views != 0) {
        views_ = reinterpret_cast<tensor_view*>(base + own_.views);
        std::uninitialized_value_construct_n(views_, plan_->first_piece.size());
        copy_array(plan_->pieces, own_.pieces);
        copy_array(plan_->patterns, own_.patterns);
        copy_array(plan_->runs, own_.runs);
        copy_array(plan_->first_piece, own_.first_piece);
        copy_array(owned_, own_.owned);
        copy_array(owned_from_, own_.owned_from);
    }
    auto& there = *reinterpret_cast<segment_header*>(base);
    there.layout() = own_.layout();
    std::atomic_ref(there.ready).store(1, std::memory_order_release);
}

SDP_INLINE bool segment_layout::meet(std::uint32_t peer, std::byte* base)
{
    if (base == nullptr)
        return false;
    auto* const head = reinterpret_cast<segment_header*>(base);
    if (std::atomic_ref(head->ready).load(std::memory_order_acquire) == 0)
        return false;
    const auto* const ranks = reinterpret_cast<const int*>(base + head->peers);
    auto& r = remotes_[peer];
    r.me = static_cast<std::size_t>(std::lower_bound(ranks, ranks + head->peer_count, plan_->rank) - ranks);
    r.head = head;
    r.base = base;
    return true;
}

SDP_INLINE void segment_layout::list_pieces(std::span<const route_kind> routes)
{
    std::vector<std::vector<std::uint32_t>> by_peer(peers_->ranks.size());
    for (std::uint32_t i = 0; i < plan_->pieces.size(); ++i) {
        const auto& piece = plan_->pieces[i];
        const auto owner = peers_->classes[piece.sharing_class].trainers[piece.owner];
        if (routes[piece.sharing_class] == route_kind::memory && owner != peer_table::self)
            by_peer[owner].push_back(i);
    }
    for (const auto& numbers : by_peer) {
        owned_from_.push_back(owned_.size());
        owned_.insert(owned_.end(), numbers.begin(), numbers.end());
    }
    owned_from_.push_back(owned_.size());
}

SDP_INLINE void segment_layout::find_plan(remote& r) const
{
    r.arrays.pieces = array_of<overlap_piece>(r, r.head->pieces);
    r.arrays.patterns = array_of<overlap_plan::pattern>(r, r.head->patterns);
    r.arrays.runs = array_of<pattern_run>(r, r.head->runs);
    r.first_piece = array_of<std::size_t>(r, r.head->first_piece);
    const auto* const from = array_of<std::size_t>(r, r.head->owned_from) + r.me;
    r.mine = {array_of<std::uint32_t>(r, r.head->owned) + from[0], from[1] - from[0]};
}

} // namespace sdp::detail
