// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Handshake of the memory route: each worker publishes the buckets it exposed and reduced, and waits for its peers'.
///
/// Owners sum in the tensors themselves, by their peers' plans, if all workers share an address space or if the gradients are in
/// the segment. Otherwise, and for short runs, they sum in sections of the segment that the trainers pack and unpack.
/// `segment_layout` has every place.

#include <sdp/comm/communicator.hpp>
#include <sdp/detail/host/segment_layout.hpp>

#include <algorithm>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace sdp::detail {

/// One worker's side of the handshake. Exists if some class uses the memory route.
template <peer_memory C> class memory_handshake {
public:
    /// Collective among the workers that reach each other's memory.
    memory_handshake(C& comm, const overlap_plan& plan, const peer_table& peers, std::span<const bucket> buckets,
        std::span<const route_kind> routes, const segment_options& options)
        : peers_(&peers)
        , rank_(plan.rank)
        , layout_(plan, peers, buckets, routes, options)
        , segment_(comm.share(layout_.bytes()))
    {
        layout_.settle(segment_.of(rank_), buckets);
        for (const auto& b : buckets) {
            auto& sources = sources_.emplace_back();
            auto& owners = owners_.emplace_back();
            for (std::uint32_t i = 0; i < b.peers.size(); ++i) {
                if (b.peers[i].read > 0)
                    sources.push_back(i);
                if (b.peers[i].exposed > 0)
                    owners.push_back(i);
            }
        }
    }
    memory_handshake(const memory_handshake&) = delete;
    memory_handshake& operator=(const memory_handshake&) = delete;
    ~memory_handshake() { retract(); }

    [[nodiscard]] segment_layout& layout() noexcept { return layout_; }
    [[nodiscard]] const segment_layout& layout() const noexcept { return layout_; }
    [[nodiscard]] bool concerns(std::size_t b) const noexcept { return !sources_[b].empty() || !owners_[b].empty(); }

    void begin_step() noexcept { ++step_; }

    /// Hands the gradients of the bucket to their owners.
    void expose(std::size_t b)
    {
        layout_.set_exposed(b, step_);
        unannounced_ = true;
    }
    [[nodiscard]] bool all_exposed(std::size_t b)
    {
        return std::ranges::all_of(sources_[b], [&](std::uint32_t i) { return has_exposed(i, b); });
    }
    void wait_exposed(std::size_t b, std::chrono::milliseconds limit)
    {
        for (const auto i : sources_[b])
            wait(
                i, [&, i] { return has_exposed(i, b); }, limit);
    }

    void set_reduced(std::size_t b)
    {
        layout_.set_reduced(b, step_);
        unannounced_ = true;
    }
    [[nodiscard]] bool all_reduced(std::size_t b)
    {
        return std::ranges::all_of(owners_[b], [&](std::uint32_t i) { return has_reduced(i, b); });
    }
    void wait_reduced(std::size_t b, std::chrono::milliseconds limit)
    {
        for (const auto i : owners_[b])
            wait(
                i, [&, i] { return has_reduced(i, b); }, limit);
    }

    /// Wakes the peers that wait for buckets exposed or reduced since the last call. Callers announce rarely: if workers
    /// outnumber cores, every woken worker takes a core from one that computes.
    void announce()
    {
        if (std::exchange(unannounced_, false))
            segment_.notify();
    }

    /// Withdraws the exposed buckets of a worker that stops: owners that have not begun to sum them never will, and the call
    /// waits for those that have. If peers reach only the segment, the segment outlives the worker and the call does nothing.
    void retract() noexcept
    {
        if constexpr (C::one_address_space)
            layout_.gate().close();
    }

    /// Keeps the gradients of a bucket's sources alive during a sum.
    /// @throws sdp::aborted_error if a source has withdrawn them
    [[nodiscard]] auto hold(std::size_t b)
    {
        // A segment outlives its worker.
        const auto sources
            = C::one_address_space ? std::span<const std::uint32_t>(sources_[b]) : std::span<const std::uint32_t>();
        return entered_gates(
            rank_, peers_->ranks, sources, [this](std::uint32_t peer) -> lifetime_gate& { return layout_.gate(peer); });
    }

private:
    [[nodiscard]] bool met(std::uint32_t peer)
    {
        return layout_.knows(peer) || layout_.meet(peer, segment_.of(peers_->ranks[peer]));
    }
    [[nodiscard]] bool has_exposed(std::uint32_t peer, std::size_t b) { return met(peer) && layout_.has_exposed(peer, b, step_); }
    [[nodiscard]] bool has_reduced(std::uint32_t peer, std::size_t b) { return met(peer) && layout_.has_reduced(peer, b, step_); }

    template <class Done> void wait(std::uint32_t peer, Done done, std::chrono::milliseconds limit)
    {
        announce();
        if (!done())
            segment_.wait(peers_->ranks[peer], done, limit);
    }

    const peer_table* peers_;
    int rank_;
    std::vector<std::vector<std::uint32_t>> sources_,
        owners_; ///< by bucket: peers whose elements this worker owns; peers that own its
    segment_layout layout_;
    decltype(std::declval<C&>().share(std::size_t {})) segment_;
    std::uint64_t step_ = 0;
    bool unannounced_ = false;
};

} // namespace sdp::detail
