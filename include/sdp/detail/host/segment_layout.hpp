// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Layout of the memory that peers reach: this worker's segment, which it fills in, and theirs, which it reads.
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

/// Inputs that determine a segment's layout.
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
        std::span<const route_kind> routes, const segment_options& options);
    // Peers know where the lists are.
    segment_layout(const segment_layout&) = delete;
    segment_layout& operator=(const segment_layout&) = delete;

    /// Returns the bytes that this worker's segment needs.
    [[nodiscard]] std::size_t bytes() const noexcept { return end_; }

    /// Fills in this worker's segment, which is all zeros. Peers may look at it already.
    void settle(std::byte* base, std::span<const bucket> buckets);

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
    bool meet(std::uint32_t peer, std::byte* base);

    /// The part of this worker's segment that it packs a bucket's exposed elements into, peer by peer.
    [[nodiscard]] std::byte* exposed(std::size_t b) const noexcept { return base_ + slot(b); }
    /// Returns the address of the packed elements that this worker owns in a peer's segment; valid once the peer has exposed
    /// them.
    [[nodiscard]] std::byte* section_of(std::uint32_t peer, std::size_t b) const noexcept
    {
        const auto& r = remotes_[peer];
        return r.base + reinterpret_cast<const std::uint64_t*>(r.base + r.head->sections)[r.me * bucket_count_ + b];
    }

    /// Returns the memory for the gradient of a parameter; null if none was requested.
    [[nodiscard]] std::byte* gradient(std::size_t parameter) const noexcept
    {
        return gradients_at_.empty() ? nullptr : base_ + gradients_at_[parameter];
    }

    /// Publishes the place of this worker's gradient of a parameter for owners: the tensor, or, with a null view, the packed
    /// section. The tensor is in this worker's segment, unless all workers share an address space.
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
    void list_pieces(std::span<const route_kind> routes);

    [[nodiscard]] std::size_t reserve(std::size_t bytes) noexcept
    {
        constexpr std::size_t line = 64;
        const std::size_t at = end_;
        end_ += (bytes + line - 1) / line * line;
        return at;
    }
    /// Returns the address at which peers read an array: its own, or that of a copy in the segment.
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

    /// Call only while the peer's lifetime gate is held: in one address space the peer destroys its plan when it leaves.
    void find_plan(remote& r) const;

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

#ifndef SDP_SEPARATE_COMPILATION
#include <sdp/src/detail/host/segment_layout.ipp>
#endif
