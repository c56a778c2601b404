// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The memory route: owners sum where the trainers' gradients lie, and leave the mean there.
///
/// Every worker has a segment that its peers reach. In it are two counters per bucket: *exposed* says that the worker's gradients
/// of the bucket may be read and overwritten by their owners, *reduced* that the worker, as an owner, has done so. Both count
/// steps, so nothing is ever reset. Where addresses mean the same to all, owners work in the tensors themselves, with their
/// peers' plans; elsewhere, and where runs are short, in sections of the segment that the trainers pack and unpack.

#include <sdp/comm/communicator.hpp>
#include <sdp/detail/buckets.hpp>
#include <sdp/detail/reduction.hpp>

#include <atomic>
#include <new>
#include <optional>
#include <span>
#include <string_view>
#include <thread>
#include <vector>

namespace sdp::detail {

/// The elements of a parameter that a peer lets its owner sum.
template <class T, class W> struct memory_source {
    W* packed = nullptr; ///< the next ones, if they were packed
    local_tensor<T> tensor;
    piece_stream in, out;
};

/// What a communicator without peer memory gets.
template <class C> class memory_exchange {
public:
    memory_exchange(
        C&, const overlap_plan&, const peer_table&, std::span<const bucket>, std::span<const route>, std::size_t, bool)
    {
    }
};

template <peer_memory C> class memory_exchange<C> {
public:
    static constexpr bool in_tensors = C::one_address_space;

    /// Collective. @param slots exposures that are kept at the same time @param open whether there is to be a segment
    memory_exchange(C& comm, const overlap_plan& plan, const peer_table& peers, std::span<const bucket> buckets,
        std::span<const route> routes, std::size_t slots, bool open)
        : peers_(&peers)
        , rank_(plan.rank)
    {
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
        if (!open)
            return;
        const std::size_t count = peers.ranks.size();
        owned_by_.resize(in_tensors ? count : 0);
        if constexpr (in_tensors)
            for (std::uint32_t i = 0; i < plan.pieces.size(); ++i) {
                const auto& piece = plan.pieces[i];
                const auto owner = peers.classes[piece.holder_class].trainers[piece.owner];
                if (routes[piece.holder_class] == route::memory && owner != peer_table::self)
                    owned_by_[owner].push_back(i);
            }

        // The header; then the counters; the table of sections, by peer and bucket; what peers need of the plan; the views.
        header h {};
        std::size_t end = sizeof(header);
        const auto reserve = [&](std::size_t bytes) {
            constexpr std::size_t line = 64;
            const std::size_t at = end;
            end += (bytes + line - 1) / line * line;
            return at;
        };
        h.counters = reserve(2 * buckets.size() * sizeof(std::uint64_t));
        h.peer_count = count;
        h.peers = reserve(count * sizeof(int));
        h.sections = reserve(count * buckets.size() * sizeof(std::uint64_t));
        h.views = in_tensors ? reserve(plan.first_piece.size() * sizeof(tensor_view)) : 0;
        h.arrays = in_tensors ? reserve(sizeof(peer_arrays)) : 0;
        std::size_t largest = 0;
        for (const auto& b : buckets)
            largest = std::max(largest, b.exposed_bytes);
        slot_bytes_ = largest;
        slots_ = largest > 0 ? std::min(slots, buckets.size()) : 0;
        slots_at_ = reserve(slots_ * largest);
        segment_.emplace(comm.share(end));
        bytes_ = end;
        base_ = segment_->of(rank_);
        buckets_ = buckets.size();

        auto* const ranks = reinterpret_cast<int*>(base_ + h.peers);
        auto* const sections = reinterpret_cast<std::uint64_t*>(base_ + h.sections);
        std::copy(peers.ranks.begin(), peers.ranks.end(), ranks);
        for (std::size_t i = 0; i < count; ++i)
            for (std::size_t b = 0; b < buckets.size(); ++b)
                sections[i * buckets.size() + b] = slot(b) + buckets[b].peers[i].exposed_at;
        if constexpr (in_tensors) {
            std::uninitialized_value_construct_n(reinterpret_cast<tensor_view*>(base_ + h.views), plan.first_piece.size());
            ::new (base_ + h.arrays) peer_arrays {plan_arrays(plan), plan.first_piece.data(), owned_by_.data()};
        }
        auto& own = *reinterpret_cast<header*>(base_); // peers look at `ready` already
        own.counters = h.counters;
        own.peer_count = h.peer_count;
        own.peers = h.peers;
        own.sections = h.sections;
        own.views = h.views;
        own.arrays = h.arrays;
        std::atomic_ref(own.ready).store(1, std::memory_order_release);
        remotes_.resize(count);
    }
    memory_exchange(const memory_exchange&) = delete;
    memory_exchange& operator=(const memory_exchange&) = delete;
    /// Owners that have not begun with what is exposed never will; those that have are waited for.
    ~memory_exchange()
    {
        if constexpr (in_tensors)
            if (base_ != nullptr) {
                auto& own = *reinterpret_cast<header*>(base_);
                std::atomic_ref(own.closed).store(1);
                while (std::atomic_ref(own.busy).load() != 0)
                    std::this_thread::yield();
            }
    }

    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
    /// Peers whose elements this worker owns.
    [[nodiscard]] std::span<const std::uint32_t> sources(std::size_t b) const noexcept { return sources_[b]; }
    [[nodiscard]] bool concerns(std::size_t b) const noexcept { return !sources_[b].empty() || !owners_[b].empty(); }

    void begin_step() noexcept { ++step_; }

    /// Where the elements that a peer owns are packed.
    [[nodiscard]] std::byte* section(std::size_t b, const peer_share& share) const noexcept
    {
        return base_ + slot(b) + share.exposed_at;
    }

    /// Says where owners find this worker's gradient of a parameter: in the tensor, or, with a null view, packed.
    void place(std::size_t parameter, const tensor_view& view)
    {
        if constexpr (in_tensors)
            if (base_ != nullptr)
                reinterpret_cast<tensor_view*>(base_ + reinterpret_cast<header*>(base_)->views)[parameter] = view;
    }

    /// From here on the gradients of the bucket belong to their owners.
    void expose(std::size_t b)
    {
        counter(base_, b).store(step_, std::memory_order_release);
        for (const auto i : owners_[b])
            segment_->notify(peers_->ranks[i]);
    }

    [[nodiscard]] bool all_exposed(std::size_t b)
    {
        return std::ranges::all_of(sources_[b], [&](std::uint32_t i) { return reached(i, b); });
    }
    void wait_exposed(std::size_t b, std::chrono::milliseconds limit)
    {
        for (const auto i : sources_[b])
            wait(i, b, limit);
    }

    void announce_reduced(std::size_t b)
    {
        counter(base_, buckets_ + b).store(step_, std::memory_order_release);
        for (const auto i : sources_[b])
            segment_->notify(peers_->ranks[i]);
    }
    [[nodiscard]] bool all_reduced(std::size_t b)
    {
        return std::ranges::all_of(owners_[b], [&](std::uint32_t i) { return reached(i, buckets_ + b); });
    }
    void wait_reduced(std::size_t b, std::chrono::milliseconds limit)
    {
        for (const auto i : owners_[b])
            wait(i, buckets_ + b, limit);
    }

    /// Keeps a bucket's sources in place while they are worked on.
    class hold {
    public:
        /// @throws sdp::aborted_error if a source is gone
        hold(memory_exchange& m, std::size_t b)
            : memory_(&m)
            , bucket_(b)
        {
            if constexpr (in_tensors)
                for (const auto i : m.sources_[b]) {
                    auto& source = *m.remotes_[i].head;
                    std::atomic_ref(source.busy).fetch_add(1);
                    ++held_;
                    if (std::atomic_ref(source.closed).load() != 0) {
                        release();
                        fail<aborted_error>("rank ", m.rank_, " cannot go on with its exchange: rank ", m.peers_->ranks[i],
                            " ended within a step");
                    }
                }
        }
        hold(const hold&) = delete;
        hold& operator=(const hold&) = delete;
        ~hold() { release(); }

    private:
        void release() noexcept
        {
            for (; held_ > 0; --held_)
                std::atomic_ref(memory_->remotes_[memory_->sources_[bucket_][held_ - 1]].head->busy).fetch_sub(1);
        }

        memory_exchange* memory_;
        std::size_t bucket_;
        std::size_t held_ = 0;
    };

    /// Where a source's packed elements of a bucket begin; once it has exposed them.
    [[nodiscard]] std::byte* packed_at(std::uint32_t peer, std::size_t b) const noexcept
    {
        const auto& r = remotes_[peer];
        return r.base + reinterpret_cast<const std::uint64_t*>(r.base + r.head->sections)[r.me * buckets_ + b];
    }

    /// Finds a source's elements of a parameter; once it has exposed them. `packed` is where it packed the next ones, if it did.
    template <class T, class W> void locate(std::uint32_t peer, std::size_t parameter, W* packed, memory_source<T, W>& out) const
    {
        out.packed = packed;
        if constexpr (in_tensors) {
            const auto& r = remotes_[peer];
            const auto& view = reinterpret_cast<const tensor_view*>(r.base + r.head->views)[parameter];
            if (view.data == nullptr)
                return;
            const auto& arrays = *reinterpret_cast<const peer_arrays*>(r.base + r.head->arrays);
            const auto& mine = arrays.owned_by[r.me];
            const auto first = static_cast<std::uint32_t>(arrays.first_piece[parameter]);
            const std::span<const std::uint32_t> numbers(std::lower_bound(mine.begin(), mine.end(), first), mine.end());
            out.packed = nullptr;
            out.tensor = local_tensor<T>(view);
            out.in = out.out = piece_stream(arrays.plan, numbers);
        }
    }

private:
    struct peer_arrays {
        plan_arrays plan;
        const std::size_t* first_piece;
        const std::vector<std::uint32_t>* owned_by; ///< by peer: the pieces that it owns
    };
    /// At the start of a segment. Offsets are from there.
    struct alignas(64) header {
        std::uint64_t ready; ///< 1 once the rest is
        std::uint64_t closed, busy; ///< only where owners work in tensors
        std::uint64_t counters, peer_count, peers, sections, views, arrays;
    };
    struct remote {
        std::byte* base = nullptr;
        header* head = nullptr;
        std::size_t me = 0; ///< this worker among the peers of that one
    };

    [[nodiscard]] std::size_t slot(std::size_t b) const noexcept { return slots_ > 0 ? slots_at_ + b % slots_ * slot_bytes_ : 0; }

    [[nodiscard]] static std::atomic_ref<std::uint64_t> counter(std::byte* base, std::size_t number) noexcept
    {
        return std::atomic_ref(reinterpret_cast<std::uint64_t*>(base + reinterpret_cast<header*>(base)->counters)[number]);
    }

    [[nodiscard]] bool reached(std::uint32_t peer, std::size_t number)
    {
        auto& r = remotes_[peer];
        if (r.base == nullptr && !find(peer))
            return false;
        return counter(r.base, number).load(std::memory_order_acquire) >= step_;
    }
    void wait(std::uint32_t peer, std::size_t number, std::chrono::milliseconds limit)
    {
        if (!reached(peer, number))
            segment_->wait(
                peers_->ranks[peer], [&] { return reached(peer, number); }, limit);
    }

    /// A peer's segment is ready once its first counter moves; until then only its address is looked for.
    [[nodiscard]] bool find(std::uint32_t peer)
    {
        auto& r = remotes_[peer];
        std::byte* const base = segment_->of(peers_->ranks[peer]);
        if (base == nullptr)
            return false;
        auto* const head = reinterpret_cast<header*>(base);
        if (std::atomic_ref(head->ready).load(std::memory_order_acquire) == 0)
            return false;
        const auto* const ranks = reinterpret_cast<const int*>(base + head->peers);
        r.me = static_cast<std::size_t>(std::lower_bound(ranks, ranks + head->peer_count, rank_) - ranks);
        r.head = head;
        r.base = base;
        return true;
    }

    const peer_table* peers_;
    int rank_;
    std::vector<std::vector<std::uint32_t>> sources_, owners_; ///< by bucket: peers whose elements I own, who own some of mine
    std::vector<std::vector<std::uint32_t>> owned_by_;
    std::optional<decltype(std::declval<C&>().share(std::size_t {}))> segment_;
    std::byte* base_ = nullptr;
    std::size_t bytes_ = 0, buckets_ = 0;
    std::size_t slot_bytes_ = 0, slots_ = 0, slots_at_ = 0;
    std::vector<remote> remotes_;
    std::uint64_t step_ = 0;
};

} // namespace sdp::detail
