// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The buckets of a plan, their shared buffers, and the place of each message in a buffer or in the host's tensors.

#include <sdp/detail/elements/packing.hpp>
#include <sdp/detail/exchange/bound_tensors.hpp>
#include <sdp/detail/exchange/bucket_layout.hpp>
#include <sdp/traffic.hpp>

#include <algorithm>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

namespace sdp::detail {

/// Rules that decide which elements are packed.
struct buffer_rules {
    bool in_tensors = false; ///< owners work in the trainers' tensors if runs are long
    bool pack_own = true; ///< short runs are packed for their owner too
};

class bucket_buffers {
public:
    /// @param routes by class
    bucket_buffers(overlap_plan&& plan, std::vector<bucket>&& buckets, std::vector<route_kind> routes,
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
        sizes_.resize(std::min(buckets_.size(), static_cast<std::size_t>(options.local.buckets_in_flight)));
        for (std::size_t b = 0; b < buckets_.size(); ++b) {
            const bool plain = size_of(buckets_[b].type) == wire_size_of(b); // elements travel as they are
            lay_out(buckets_[b], plan_, peers_, placement(), {options.shared_gradients && plain, wire_size_of(b)});
            for (const auto& s : buckets_[b].peers)
                for (const auto& stretch : {s.sent_from, s.returned_from})
                    if (stretch)
                        sent_in_place_[stretch->parameter] = true;
            auto& size = sizes_[b % sizes_.size()];
            size = std::max(size, buckets_[b].bytes);
            limited_ = limited_ || buckets_[b].bytes > 0 || buckets_[b].exposed_bytes > 0;
        }
    }
    // Not copyable: peers have the address of the plan.
    bucket_buffers(const bucket_buffers&) = delete;
    bucket_buffers& operator=(const bucket_buffers&) = delete;

    /// Allocates the buffers, once: `allocate(bytes)` returns memory that lives as long as this object.
    template <class Allocate> void allocate(Allocate allocate)
    {
        for (const auto bytes : sizes_)
            blocks_.push_back(allocate(bytes));
    }

    [[nodiscard]] const overlap_plan& plan() const noexcept { return plan_; }
    [[nodiscard]] const peer_table& peers() const noexcept { return peers_; }
    [[nodiscard]] std::span<const bucket> buckets() const noexcept { return buckets_; }
    [[nodiscard]] std::span<const route_kind> routes() const noexcept { return routes_; } ///< by class
    [[nodiscard]] const bound_tensors& tensors() const noexcept { return *tensors_; }
    [[nodiscard]] const synchronizer_options& options() const noexcept { return options_; }
    /// Largest number of buckets in progress at once.
    [[nodiscard]] std::size_t most_under_way() const noexcept { return limited_ ? sizes_.size() : buckets_.size() + 1; }
    /// Bytes of a gradient's element of a bucket in a message.
    [[nodiscard]] std::size_t wire_size_of(std::size_t b) const noexcept { return wire_size(buckets_[b].type, options_.wire); }
    /// True if owners send values to the trainers instead of means.
    [[nodiscard]] bool values_to_trainers() const noexcept { return options_.update == update_mode::owner_update; }
    /// A position in the buffer of a bucket.
    [[nodiscard]] std::byte* at(std::size_t b, std::size_t offset) noexcept { return blocks_[b % blocks_.size()] + offset; }
    /// Bytes of the buffers for gradients and values.
    [[nodiscard]] std::size_t buffer_bytes() const noexcept
    {
        return std::accumulate(sizes_.begin(), sizes_.end(), std::size_t {0});
    }

    /// Rules from which `piece_places` derives the place of every piece.
    [[nodiscard]] placement_rules placement() const noexcept
    {
        return {routes_, interleaved_, exposed_in_place_, values_to_trainers()};
    }
    /// A walker over the pieces of the buckets.
    [[nodiscard]] piece_places places() const { return {plan_, peers_, placement()}; }

    /// True if elements of a parameter are packed even for this worker's own use.
    [[nodiscard]] bool is_interleaved(std::size_t parameter) const { return interleaved_[parameter]; }
    /// True if owners work in the gradient itself, for the classes that use memory.
    [[nodiscard]] bool is_exposed_in_place(std::size_t parameter) const { return exposed_in_place_[parameter]; }
    /// True if elements of the gradient are sent without packing.
    [[nodiscard]] bool is_sent_in_place(std::size_t parameter) const { return sent_in_place_[parameter]; }

    /// The place of the message to a peer that owns elements, which also receives the means.
    [[nodiscard]] std::byte* sent_from(std::size_t b, std::size_t peer) noexcept
    {
        const auto& s = buckets_[b].peers[peer];
        return s.sent_from ? in_tensor(*s.sent_from) : at(b, s.send_at);
    }
    /// The place of the means that are sent to a peer.
    [[nodiscard]] std::byte* returned_from(std::size_t b, std::size_t peer) noexcept
    {
        const auto& s = buckets_[b].peers[peer];
        return s.returned_from ? in_tensor(*s.returned_from) : at(b, s.receive_at);
    }

    /// Counts the elements of a bucket that the transport's own all-reduce sums, by the formula of a ring, rounded down.
    void count_native(std::size_t b, traffic& sent) const noexcept
    {
        const auto world = static_cast<std::size_t>(plan_.world);
        sent.reduce_bytes += 2 * buckets_[b].native * size_of(buckets_[b].type) * (world - 1) / world;
    }

    /// Counts a bucket's gradients that use memory. As many bytes cross between two workers as in messages, and the counters
    /// treat both alike.
    void count_in_memory(std::size_t b, traffic& sent) const noexcept
    {
        for (const auto& s : buckets_[b].peers) {
            const std::size_t there = s.exposed + s.paired;
            const std::size_t back = values_to_trainers() ? 0 : s.read - s.paired;
            sent.reduce_bytes += there * wire_size_of(b);
            sent.publish_bytes += back * wire_size_of(b);
            sent.messages += (there > 0 ? 1U : 0U) + (back > 0 ? 1U : 0U);
        }
    }

private:
    [[nodiscard]] std::byte* in_tensor(const gradient_stretch& s) const noexcept
    {
        const auto& view = tensors_->gradients()[s.parameter];
        return static_cast<std::byte*>(view.data) + s.begin * size_of(view.type);
    }

    overlap_plan plan_;
    peer_table peers_;
    const bound_tensors* tensors_;
    synchronizer_options options_;
    std::vector<route_kind> routes_; ///< by class
    std::vector<bool> interleaved_, exposed_in_place_, sent_in_place_; ///< by parameter
    std::vector<bucket> buckets_;
    std::vector<std::size_t> sizes_; ///< of the buffers, in bytes
    std::vector<std::byte*> blocks_;
    bool limited_ = false; ///< several buckets share a buffer
};

} // namespace sdp::detail
