// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief What lies where in the memory that peers reach: this worker's, which it fills in, and theirs, which it reads.
///
/// A segment holds two counters per bucket, by which a worker says how far it is; where its peers find what they own of its
/// gradients; and, if owners work in its tensors, what they need of its plan. Nothing here waits or knows a communicator.

#include <sdp/detail/elements/reduction.hpp>
#include <sdp/detail/exchange/bucket_layout.hpp>
#include <sdp/detail/exchange/lifetime_gate.hpp>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <span>
#include <tuple>
#include <vector>

namespace sdp::detail {

/// The elements of a parameter that a peer lets its owner sum.
template <class T, class W> struct memory_source {
    W* packed = nullptr; ///< the next ones, if they were packed
    tensor_view view;
    local_tensor<T> tensor;
    piece_stream in, out;
};

/// What decides how a segment is laid out.
struct segment_options {
    std::size_t slots = 0; ///< buckets whose exposed sections are kept at the same time
    bool in_tensors = false; ///< owners work in this worker's tensors where they can
    bool one_address_space = false; ///< an address means the same to all workers
    std::span<const std::size_t> gradient_bytes; ///< by parameter: room for the gradients themselves, or empty
};

/// At the start of a segment. Offsets are from there; of the arrays of the plan, addresses where those mean the same to all.
struct alignas(64) segment_header {
    std::uint64_t ready; ///< 1 once the rest is
    lifetime_gate gate;
    std::uint64_t counters, peer_count, peers, sections, views;
    std::uint64_t pieces, patterns, runs, first_piece, owned, owned_from;

    [[nodiscard]] auto layout() noexcept
    {
        return std::tie(counters, peer_count, peers, sections, views, pieces, patterns, runs, first_piece, owned, owned_from);
    }
};

class segment_layout {
public:
    segment_layout(const overlap_plan& plan, const peer_table& peers, std::span<const bucket> buckets,
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
            slot_bytes_ = std::max(slot_bytes_, b.exposed_bytes);
        slots_ = slot_bytes_ > 0 ? std::min(options.slots, buckets.size()) : 0;
        slots_at_ = reserve(slots_ * slot_bytes_);
    }
    // Peers know where the lists are.
    segment_layout(const segment_layout&) = delete;
    segment_layout& operator=(const segment_layout&) = delete;

    /// That this worker's segment needs.
    [[nodiscard]] std::size_t bytes() const noexcept { return end_; }

    /// Fills in this worker's segment, which is all zeros. Peers may look at it already.
    void settle(std::byte* base, std::span<const bucket> buckets)
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

    /// The counters count steps, so nothing is ever reset. *Exposed*: the gradients of the bucket may be read and overwritten by
    /// their owners. *Reduced*: this worker, as an owner, has done so.
    void set_exposed(std::size_t b, std::uint64_t step) { counter(base_, b).store(step, std::memory_order_release); }
    void set_reduced(std::size_t b, std::uint64_t step)
    {
        counter(base_, bucket_count_ + b).store(step, std::memory_order_release);
    }
    [[nodiscard]] bool has_exposed(std::uint32_t peer, std::size_t b, std::uint64_t step) const
    {
        return counter(remotes_[peer].base, b).load(std::memory_order_acquire) >= step;
    }
    [[nodiscard]] bool has_reduced(std::uint32_t peer, std::size_t b, std::uint64_t step) const
    {
        return counter(remotes_[peer].base, bucket_count_ + b).load(std::memory_order_acquire) >= step;
    }

    [[nodiscard]] bool knows(std::uint32_t peer) const noexcept { return remotes_[peer].base != nullptr; }
    /// Tries to make a peer's segment known, which may be null or not settled yet.
    bool meet(std::uint32_t peer, std::byte* base)
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

    /// The part of this worker's segment that it packs a bucket's exposed elements into, peer by peer.
    [[nodiscard]] std::byte* exposed(std::size_t b) const noexcept { return base_ + slot(b); }
    /// Where a peer has packed those that this worker owns; once it has exposed them.
    [[nodiscard]] std::byte* section_of(std::uint32_t peer, std::size_t b) const noexcept
    {
        const auto& r = remotes_[peer];
        return r.base + reinterpret_cast<const std::uint64_t*>(r.base + r.head->sections)[r.me * bucket_count_ + b];
    }

    /// Where there is room for the gradient of a parameter; null if none was asked for.
    [[nodiscard]] std::byte* gradient(std::size_t parameter) const noexcept
    {
        return gradients_at_.empty() ? nullptr : base_ + gradients_at_[parameter];
    }

    /// Says where owners find this worker's gradient of a parameter: in the tensor, or, with a null view, packed. A tensor lies
    /// in this worker's segment, unless addresses mean the same to all.
    void place(std::size_t parameter, tensor_view view)
    {
        if (views_ == nullptr)
            return;
        if (!one_address_space_ && view.data != nullptr)
            view.data = reinterpret_cast<void*>(static_cast<std::byte*>(view.data) - base_);
        views_[parameter] = view;
    }

    /// Finds a source's elements of a parameter; once it has exposed them, and while it is held. `packed` is where it packed the
    /// next ones, if it did.
    template <class T, class W> void locate(std::uint32_t peer, std::size_t parameter, W* packed, memory_source<T, W>& out)
    {
        out.packed = packed;
        auto& r = remotes_[peer];
        if (r.head->views == 0)
            return;
        if (r.first_piece == nullptr)
            find_plan(r);
        out.view = reinterpret_cast<const tensor_view*>(r.base + r.head->views)[parameter];
        if (out.view.data == nullptr)
            return;
        if (!one_address_space_)
            out.view.data = r.base + reinterpret_cast<std::uintptr_t>(out.view.data);
        const auto first = static_cast<std::uint32_t>(r.first_piece[parameter]);
        out.packed = nullptr;
        out.tensor = local_tensor<T>(out.view);
        out.in = out.out = piece_stream(r.arrays, std::span(std::lower_bound(r.mine.begin(), r.mine.end(), first), r.mine.end()));
    }

    /// Keeps a peer's memory in place, and this worker's own.
    [[nodiscard]] lifetime_gate& gate(std::uint32_t peer) const noexcept { return remotes_[peer].head->gate; }
    [[nodiscard]] lifetime_gate& gate() const noexcept { return reinterpret_cast<segment_header*>(base_)->gate; }

private:
    struct remote {
        std::byte* base = nullptr;
        segment_header* head = nullptr;
        std::size_t me = 0; ///< this worker among the peers of that one
        plan_arrays arrays;
        const std::size_t* first_piece = nullptr;
        std::span<const std::uint32_t> mine; ///< numbers of its pieces that I own
    };

    /// Fills in, for each peer, the numbers of the pieces that it owns.
    void list_pieces(std::span<const route_kind> routes)
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

    [[nodiscard]] std::size_t reserve(std::size_t bytes) noexcept
    {
        constexpr std::size_t line = 64;
        const std::size_t at = end_;
        end_ += (bytes + line - 1) / line * line;
        return at;
    }
    /// Where peers find an array: where it is, or a copy in the segment.
    template <class T> [[nodiscard]] std::uint64_t place_array(const std::vector<T>& array) noexcept
    {
        return one_address_space_ ? reinterpret_cast<std::uintptr_t>(array.data()) : reserve(array.size() * sizeof(T));
    }
    template <class T> void copy_array(const std::vector<T>& array, std::uint64_t at) const noexcept
    {
        if (!one_address_space_ && !array.empty())
            std::memcpy(base_ + at, array.data(), array.size() * sizeof(T));
    }
    template <class T> [[nodiscard]] const T* array_of(const remote& r, std::uint64_t at) const noexcept
    {
        return one_address_space_ ? reinterpret_cast<const T*>(at) : reinterpret_cast<const T*>(r.base + at);
    }

    /// Only while the peer is held: with one address space its plan goes when it does.
    void find_plan(remote& r) const
    {
        r.arrays.pieces = array_of<overlap_piece>(r, r.head->pieces);
        r.arrays.patterns = array_of<overlap_plan::pattern>(r, r.head->patterns);
        r.arrays.runs = array_of<pattern_run>(r, r.head->runs);
        r.first_piece = array_of<std::size_t>(r, r.head->first_piece);
        const auto* const from = array_of<std::size_t>(r, r.head->owned_from) + r.me;
        r.mine = {array_of<std::uint32_t>(r, r.head->owned) + from[0], from[1] - from[0]};
    }

    [[nodiscard]] std::size_t slot(std::size_t b) const noexcept { return slots_ > 0 ? slots_at_ + b % slots_ * slot_bytes_ : 0; }

    [[nodiscard]] static std::atomic_ref<std::uint64_t> counter(std::byte* base, std::size_t number) noexcept
    {
        return std::atomic_ref(
            reinterpret_cast<std::uint64_t*>(base + reinterpret_cast<segment_header*>(base)->counters)[number]);
    }

    const overlap_plan* plan_;
    const peer_table* peers_;
    std::size_t bucket_count_;
    bool one_address_space_;
    segment_header own_ {};
    std::size_t end_ = sizeof(segment_header);
    std::vector<std::uint32_t> owned_; ///< numbers of pieces, by the peer that owns them
    std::vector<std::size_t> owned_from_; ///< by peer, where its own begin there; one more at the end
    std::vector<std::size_t> gradients_at_; ///< by parameter
    std::size_t slot_bytes_ = 0, slots_ = 0, slots_at_ = 0;
    std::byte* base_ = nullptr; ///< of this worker's segment
    tensor_view* views_ = nullptr; ///< by parameter; in the segment
    std::vector<remote> remotes_; ///< by peer
};

} // namespace sdp::detail
