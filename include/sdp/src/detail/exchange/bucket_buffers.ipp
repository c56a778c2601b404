// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Lays out the buckets of a plan and the buffers that they share.

#include <sdp/detail/exchange/bucket_buffers.hpp>
#include <sdp/detail/exchange/bucket_layout.hpp>
#include <sdp/src/separate.hpp>

#include <algorithm>
#include <utility>

namespace sdp::detail {

SDP_INLINE bucket_buffers::bucket_buffers(overlap_plan&& plan, std::vector<bucket>&& buckets, std::vector<route_kind> routes,
    const bound_tensors& tensors, const synchronizer_options& options, const buffer_rules& rules)
    : plan_(std::move(plan))
    , peers_(plan_)
    , tensors_(&tensors)
    , options_(options)
    , routes_(std::move(routes))
    , buckets_(std::move(buckets))
{
    for (std::size_t p = 0; p + 1 < plan_.first_piece.size(); ++p)
        interleaved_.push_back(rules.pack_own && detail::is_interleaved(plan_, p));
    sent_in_place_.assign(interleaved_.size(), false);
    for (const bool interleaved : interleaved_)
        exposed_in_place_.push_back(rules.in_tensors && !interleaved);
    sizes_.resize((std::min)(buckets_.size(), static_cast<std::size_t>(options.local.buckets_in_flight)));
    for (std::size_t b = 0; b < buckets_.size(); ++b) {
        const bool plain = size_of(buckets_[b].type) == wire_size_of(b); // elements are sent without conversion
        lay_out(buckets_[b], plan_, peers_, placement(), {options.shared_gradients && plain, wire_size_of(b)});
        for (const auto& s : buckets_[b].peers)
            for (const auto& stretch : {s.sent_from, s.returned_from})
                if (stretch)
                    sent_in_place_[stretch->parameter] = true;
        auto& size = sizes_[b % sizes_.size()];
        size = (std::max)(size, buckets_[b].bytes);
        limited_ = limited_ || buckets_[b].bytes > 0 || buckets_[b].exposed_bytes > 0;
    }
}

SDP_INLINE void bucket_buffers::count_native(std::size_t b, traffic& sent) const noexcept
{
    const auto world = static_cast<std::size_t>(plan_.world);
    sent.reduce_bytes += 2 * buckets_[b].native * size_of(buckets_[b].type) * (world - 1) / world;
}

SDP_INLINE void bucket_buffers::count_in_memory(std::size_t b, traffic& sent) const noexcept
{
    for (const auto& s : buckets_[b].peers) {
        const std::size_t there = s.exposed + s.paired;
        const std::size_t back = values_to_trainers() ? 0 : s.read - s.paired;
        sent.reduce_bytes += there * wire_size_of(b);
        sent.publish_bytes += back * wire_size_of(b);
        sent.messages += (there > 0 ? 1U : 0U) + (back > 0 ? 1U : 0U);
    }
}

} // namespace sdp::detail
