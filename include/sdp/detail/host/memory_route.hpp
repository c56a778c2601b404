// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Gradients through memory: owners sum where the trainers' gradients lie, and leave the mean there.
///
/// Where owners work in the host's own tensors, they may only while the host is in a call that returns when they are done: else
/// an exception of the host's could free what others are about to write. So a bucket is exposed by who waits for it; elsewhere,
/// as soon as it is packed.

#include <sdp/detail/host/bucket_passes.hpp>
#include <sdp/detail/host/exchange_route.hpp>
#include <sdp/detail/host/memory_exchange.hpp>

#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace sdp::detail {

/// Where workers do not reach each other's memory.
template <communicator C> class memory_route : public absent_route {
public:
    memory_route(C&, bucket_buffers&, bucket_passes&, traffic&, const bucket_wait&, const synchronizer_options&,
        std::span<const std::size_t>)
    {
    }

    static constexpr std::string_view name {};
    static void begin_step() noexcept { }
    static void expose(std::size_t) noexcept { }
    static void announce() noexcept { }
    static void retract() noexcept { }
    [[nodiscard]] static std::size_t bytes() noexcept { return 0; }
    [[nodiscard]] static std::byte* gradient(std::size_t) noexcept { return nullptr; }
};

template <peer_memory C> class memory_route<C> {
public:
    /// Collective among those who reach each other. @param room by parameter, for the gradients themselves; or none
    memory_route(C& comm, bucket_buffers& store, bucket_passes& passes, traffic& sent, const bucket_wait& wait,
        const synchronizer_options& options, std::span<const std::size_t> room)
        : store_(&store)
        , passes_(&passes)
        , sent_(&sent)
        , wait_(wait)
        , phases_(store.buckets().size(), phase::idle)
    {
        if (!may_share_memory(store.plan(), comm, options))
            return;
        memory_.emplace(comm, store.plan(), store.peers(), store.buckets(), store.routes(),
            segment_options {
                static_cast<std::size_t>(options.local.buckets_in_flight), in_tensors<C>(options), C::one_address_space, room});
        passes.meet_in(memory_->layout());
    }

    static constexpr std::string_view name = C::memory_route;
    /// Of the memory that peers reach.
    [[nodiscard]] std::size_t bytes() const noexcept { return memory_ ? memory_->layout().bytes() : 0; }
    /// Room in it for the gradient of a parameter, or null.
    [[nodiscard]] std::byte* gradient(std::size_t parameter) const noexcept
    {
        return memory_ ? memory_->layout().gradient(parameter) : nullptr;
    }

    void begin_step() noexcept
    {
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
        store_->count_in_memory(b, *sent_);
    }

    void expose(std::size_t b)
    {
        if (phases_[b] != phase::packed)
            return;
        memory_->expose(b);
        phases_[b] = phase::reducing;
    }

    void push(std::size_t b)
    {
        if (phases_[b] == phase::reducing && memory_->all_exposed(b))
            sum(b);
        if (phases_[b] == phase::publishing && memory_->all_reduced(b))
            phases_[b] = phase::idle;
    }

    void reduce(std::size_t b)
    {
        expose(b);
        if (phases_[b] != phase::reducing)
            return;
        wait_(b, "gradients", [&](auto limit) { memory_->wait_exposed(b, limit); });
        sum(b);
    }

    void complete(std::size_t b)
    {
        if (phases_[b] == phase::publishing)
            wait_(b, "mean gradients", [&](auto limit) { memory_->wait_reduced(b, limit); });
        phases_[b] = phase::idle;
    }

    [[nodiscard]] bool idle(std::size_t b) const noexcept { return phases_[b] == phase::idle; }

    /// Wakes who waits for what has been done since the last time.
    void announce()
    {
        if (memory_)
            memory_->announce();
    }
    /// For a worker that cannot go on: takes back what it exposed.
    void retract() noexcept
    {
        if (memory_)
            memory_->retract();
    }

private:
    void sum(std::size_t b)
    {
        {
            const auto sources = memory_->hold(b);
            passes_->reduce(b, true);
        }
        memory_->set_reduced(b);
        phases_[b] = phase::publishing;
    }

    bucket_buffers* store_;
    bucket_passes* passes_;
    traffic* sent_;
    bucket_wait wait_;
    std::optional<memory_exchange<C>> memory_;
    std::vector<phase> phases_; ///< by bucket
};

} // namespace sdp::detail
