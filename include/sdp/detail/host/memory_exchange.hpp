// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Waits of the memory route: each worker counts the buckets it exposed and reduced, and waits for its peers' counts.
///
/// Where addresses mean the same to all, or gradients lie in the segment, owners work in the tensors themselves, with their
/// peers' plans; elsewhere, and where runs are short, in sections of the segment that the trainers pack and unpack.
/// `segment_layout` knows every place.

#include <sdp/comm/communicator.hpp>
#include <sdp/detail/host/segment_layout.hpp>

#include <algorithm>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace sdp::detail {

/// One worker's part in it. Exists while there is peer memory to share.
template <peer_memory C> class memory_exchange {
public:
    /// Collective among those who reach each other.
    memory_exchange(C& comm, const overlap_plan& plan, const peer_table& peers, std::span<const bucket> buckets,
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
    memory_exchange(const memory_exchange&) = delete;
    memory_exchange& operator=(const memory_exchange&) = delete;
    ~memory_exchange() { retract(); }

    [[nodiscard]] segment_layout& layout() noexcept { return layout_; }
    [[nodiscard]] const segment_layout& layout() const noexcept { return layout_; }
    [[nodiscard]] bool concerns(std::size_t b) const noexcept { return !sources_[b].empty() || !owners_[b].empty(); }

    void begin_step() noexcept { ++step_; }

    /// From here on the gradients of the bucket belong to their owners.
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

    /// Wakes whoever waits for what was exposed and reduced since the last time. Not each time: where workers outnumber cores,
    /// everyone who is woken takes a core from those who work.
    void announce()
    {
        if (std::exchange(unannounced_, false))
            segment_.notify();
    }

    /// For a worker that cannot go on: owners that have not begun with what it exposed never will, and those that have are waited
    /// for. Where peers see only the segment, that stays behind, and there is nothing to do.
    void retract() noexcept
    {
        if constexpr (C::one_address_space)
            layout_.gate().close();
    }

    /// Keeps a bucket's sources in place while they are worked on. @throws sdp::aborted_error if one is gone
    [[nodiscard]] auto hold(std::size_t b)
    {
        // Where peers see only the segment, that stays behind.
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
    std::vector<std::vector<std::uint32_t>> sources_, owners_; ///< by bucket: peers whose elements I own, who own some of mine
    segment_layout layout_;
    decltype(std::declval<C&>().share(std::size_t {})) segment_;
    std::uint64_t step_ = 0;
    bool unannounced_ = false;
};

} // namespace sdp::detail
