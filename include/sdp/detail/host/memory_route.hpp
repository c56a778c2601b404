// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Route through memory: owners sum in the trainers' gradients, and write the mean there.
///
/// Owners that sum in the host's own tensors do so only while the host is in a call that returns after their sums: otherwise an
/// exception of the host's could free tensors that owners are about to write. Such a bucket is exposed when the host waits for
/// it, any other as soon as it is packed.

#include <sdp/detail/host/exchange_route.hpp>
#include <sdp/detail/host/memory_handshake.hpp>

#include <algorithm>
#include <optional>
#include <string_view>
#include <vector>

namespace sdp::detail {

/// The no-op route, for workers that do not reach each other's memory.
template <communicator C> class memory_route : public absent_route {
public:
    explicit memory_route(const route_parts<C>&) { }
};

template <peer_memory C> class memory_route<C> : public absent_route {
public:
    /// Collective among the workers that reach each other's memory.
    explicit memory_route(const route_parts<C>& parts)
        : buffers_(&parts.buffers)
        , passes_(&parts.passes)
        , sent_(&parts.sent)
        , wait_(parts.wait)
        , phases_(parts.buffers.buckets().size(), phase::idle)
    {
        const auto& buffers = parts.buffers;
        if (!may_share_memory(buffers.plan(), parts.comm, parts.options))
            return;
        memory_.emplace(parts.comm, buffers.plan(), buffers.peers(), buffers.buckets(), buffers.routes(),
            segment_options {static_cast<std::size_t>(parts.options.local.buckets_in_flight), in_tensors<C>(parts.options),
                C::one_address_space, parts.gradient_bytes});
        parts.passes.meet_in(memory_->layout());
    }

    static constexpr std::string_view name = C::memory_route;
    /// Of the memory that peers reach.
    [[nodiscard]] std::size_t bytes() const noexcept { return memory_ ? memory_->layout().bytes() : 0; }
    /// Room in it for the gradient of a parameter, or null.
    [[nodiscard]] std::byte* gradient(std::size_t parameter) const noexcept
    {
        return memory_ ? memory_->layout().gradient(parameter) : nullptr;
    }

    /// Peers that reach only the segment need the gradient in it.
    [[nodiscard]] bool must_hold([[maybe_unused]] std::size_t parameter) const
    {
        return !C::one_address_space && bytes() > 0 && buffers_->is_exposed_in_place(parameter);
    }

    void begin_step() noexcept
    {
        settled_ = 0;
        if (memory_)
            memory_->begin_step();
    }

    void launch(std::size_t b)
    {
        if (!memory_ || !memory_->concerns(b))
            return;
        phases_[b] = phase::packed;
        if constexpr (!C::one_address_space)
            expose(b);
        buffers_->count_in_memory(b, *sent_);
    }

    void progress(std::size_t first, std::size_t last)
    {
        for (std::size_t b = first; b < last; ++b) {
            if (phases_[b] == phase::reducing && memory_->all_exposed(b))
                sum(b);
            if (phases_[b] == phase::publishing && memory_->all_reduced(b))
                phases_[b] = phase::idle;
        }
        announce();
    }

    /// Wakes the owners now: a worker blocked on messages cannot.
    void settle(std::size_t first, std::size_t last)
    {
        for (std::size_t b = first; b < last; ++b)
            expose(b);
        settled_ = last;
        announce();
    }

    void reduce(std::size_t b)
    {
        if (phases_[b] == phase::reducing) {
            wait_(b, "gradients", [&](auto limit) { memory_->wait_exposed(b, limit); });
            sum(b);
        }
        announce();
    }

    /// Owners sum the buckets in order, so a worker that waits for the last settled bucket first sleeps once for all of them.
    void complete(std::size_t b)
    {
        for (std::size_t i = (std::max)(settled_, b + 1); i-- > b;) {
            if (phases_[i] == phase::publishing)
                wait_(i, "mean gradients", [&](auto limit) { memory_->wait_reduced(i, limit); });
            phases_[i] = phase::idle;
        }
        settled_ = 0;
    }

    [[nodiscard]] bool idle(std::size_t b) const noexcept { return phases_[b] == phase::idle; }

    /// Takes back the exposed buckets.
    void abandon() noexcept
    {
        if (memory_)
            memory_->retract();
    }

private:
    void expose(std::size_t b)
    {
        if (phases_[b] != phase::packed)
            return;
        memory_->expose(b);
        phases_[b] = phase::reducing;
    }

    /// Wakes the peers that wait for buckets exposed or reduced since the last time.
    void announce()
    {
        if (memory_)
            memory_->announce();
    }

    void sum(std::size_t b)
    {
        {
            const auto sources = memory_->hold(b);
            passes_->reduce(b, true);
        }
        memory_->set_reduced(b);
        phases_[b] = phase::publishing;
    }

    bucket_buffers* buffers_;
    bucket_passes* passes_;
    traffic* sent_;
    bucket_wait wait_;
    std::optional<memory_handshake<C>> memory_;
    std::vector<phase> phases_; ///< by bucket
    std::size_t settled_ = 0; ///< end of the buckets that the host waits for, until one is complete
};

} // namespace sdp::detail
