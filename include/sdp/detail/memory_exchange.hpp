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
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

namespace sdp::detail {

/// The elements of a parameter that a peer lets its owner sum.
template <class T, class W> struct memory_source {
    W* packed = nullptr; ///< the next ones, if they were packed
    tensor_view view;
    local_tensor<T> tensor;
    piece_stream in, out;
};

/// What a worker's segment also holds.
struct segment_room {
    std::size_t slots = 0; ///< exposures that are kept at the same time
    bool in_tensors = false; ///< owners work in this worker's tensors where they can
    std::span<const std::size_t> gradient_bytes; ///< by parameter: room for the gradients themselves, or empty
};

/// What a communicator without peer memory gets.
template <class C> class memory_exchange {
public:
    memory_exchange(
        C&, const overlap_plan&, const peer_table&, std::span<const bucket>, std::span<const route>, bool, const segment_room&)
    {
    }
};

template <peer_memory C> class memory_exchange<C> {
public:
    /// Collective. @param open whether there is to be a segment
    memory_exchange(C& comm, const overlap_plan& plan, const peer_table& peers, std::span<const bucket> buckets,
        std::span<const route> routes, bool open, const segment_room& room)
        : peers_(&peers)
        , rank_(plan.rank)
        , buckets_(buckets.size())
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
        if (room.in_tensors)
            list_pieces(plan, routes);

        // The header; the counters; the peers, and where their sections are, by peer and bucket; the views; what peers need of
        // the plan; gradients; slots of sections.
        header h {};
        std::size_t end = sizeof(header);
        const auto reserve = [&](std::size_t bytes) {
            constexpr std::size_t line = 64;
            const std::size_t at = end;
            end += (bytes + line - 1) / line * line;
            return at;
        };
        const std::size_t count = peers.ranks.size();
        h.counters = reserve(2 * buckets.size() * sizeof(std::uint64_t));
        h.peer_count = count;
        h.peers = reserve(count * sizeof(int));
        h.sections = reserve(count * buckets.size() * sizeof(std::uint64_t));
        if (room.in_tensors) {
            h.views = reserve(plan.first_piece.size() * sizeof(tensor_view));
            const auto publish = [&](const auto& array) {
                return C::one_address_space ? reinterpret_cast<std::uintptr_t>(array.data())
                                            : reserve(array.size() * sizeof(array[0]));
            };
            h.pieces = publish(plan.pieces);
            h.patterns = publish(plan.patterns);
            h.runs = publish(plan.runs);
            h.first_piece = publish(plan.first_piece);
            h.owned = publish(owned_);
            h.owned_from = publish(owned_from_);
        }
        for (const auto bytes : room.gradient_bytes)
            gradients_at_.push_back(reserve(bytes));
        for (const auto& b : buckets)
            slot_bytes_ = std::max(slot_bytes_, b.exposed_bytes);
        slots_ = slot_bytes_ > 0 ? std::min(room.slots, buckets.size()) : 0;
        slots_at_ = reserve(slots_ * slot_bytes_);
        segment_.emplace(comm.share(end));
        bytes_ = end;
        base_ = segment_->of(rank_);

        std::copy(peers.ranks.begin(), peers.ranks.end(), reinterpret_cast<int*>(base_ + h.peers));
        auto* const sections = reinterpret_cast<std::uint64_t*>(base_ + h.sections);
        for (std::size_t i = 0; i < count; ++i)
            for (std::size_t b = 0; b < buckets.size(); ++b)
                sections[i * buckets.size() + b] = slot(b) + buckets[b].peers[i].exposed_at;
        if (room.in_tensors) {
            views_ = reinterpret_cast<tensor_view*>(base_ + h.views);
            std::uninitialized_value_construct_n(views_, plan.first_piece.size());
            if constexpr (!C::one_address_space) {
                const auto copy = [&](const auto& array, std::uint64_t offset) {
                    if (!array.empty())
                        std::memcpy(base_ + offset, array.data(), array.size() * sizeof(array[0]));
                };
                copy(plan.pieces, h.pieces);
                copy(plan.patterns, h.patterns);
                copy(plan.runs, h.runs);
                copy(plan.first_piece, h.first_piece);
                copy(owned_, h.owned);
                copy(owned_from_, h.owned_from);
            }
        }
        auto& own = *reinterpret_cast<header*>(base_); // peers look at `ready` already
        own.layout() = h.layout();
        std::atomic_ref(own.ready).store(1, std::memory_order_release);
        remotes_.resize(count);
    }
    memory_exchange(const memory_exchange&) = delete;
    memory_exchange& operator=(const memory_exchange&) = delete;
    ~memory_exchange() { retract(); }

    /// For a worker that cannot go on: owners that have not begun with what it exposed never will, and those that have are waited
    /// for. Where peers see only the segment, that stays behind, and there is nothing to do.
    void retract() noexcept
    {
        if constexpr (C::one_address_space)
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

    /// Says where owners find this worker's gradient of a parameter: in the tensor, or, with a null view, packed. A tensor lies
    /// in this worker's segment, unless addresses mean the same to all.
    void place(std::size_t parameter, tensor_view view)
    {
        if (views_ == nullptr)
            return;
        if constexpr (!C::one_address_space)
            if (view.data != nullptr)
                view.data = reinterpret_cast<void*>(static_cast<std::byte*>(view.data) - base_);
        views_[parameter] = view;
    }

    /// Where there is room for the gradient of a parameter.
    [[nodiscard]] std::byte* gradient(std::size_t parameter) const noexcept
    {
        return base_ == nullptr || gradients_at_.empty() ? nullptr : base_ + gradients_at_[parameter];
    }

    /// From here on the gradients of the bucket belong to their owners.
    void expose(std::size_t b)
    {
        counter(base_, b).store(step_, std::memory_order_release);
        unannounced_ = true;
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

    void set_reduced(std::size_t b)
    {
        counter(base_, buckets_ + b).store(step_, std::memory_order_release);
        unannounced_ = true;
    }
    /// Wakes whoever waits for what was exposed and reduced since the last time. Not each time: where workers outnumber cores,
    /// everyone who is woken takes a core from those who work.
    void announce()
    {
        if (std::exchange(unannounced_, false))
            segment_->notify();
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
            if constexpr (C::one_address_space)
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
        if constexpr (!C::one_address_space)
            out.view.data = r.base + reinterpret_cast<std::uintptr_t>(out.view.data);
        const auto first = static_cast<std::uint32_t>(r.first_piece[parameter]);
        out.packed = nullptr;
        out.tensor = local_tensor<T>(out.view);
        out.in = out.out = piece_stream(r.arrays, std::span(std::lower_bound(r.mine.begin(), r.mine.end(), first), r.mine.end()));
    }

private:
    /// At the start of a segment. Offsets are from there; of the arrays of the plan, addresses where those mean the same to all.
    struct alignas(64) header {
        std::uint64_t ready; ///< 1 once the rest is
        std::uint64_t closed, busy; ///< only where addresses mean the same to all
        std::uint64_t counters, peer_count, peers, sections, views;
        std::uint64_t pieces, patterns, runs, first_piece, owned, owned_from;

        [[nodiscard]] auto layout() noexcept
        {
            return std::tie(counters, peer_count, peers, sections, views, pieces, patterns, runs, first_piece, owned, owned_from);
        }
    };
    struct remote {
        std::byte* base = nullptr;
        header* head = nullptr;
        std::size_t me = 0; ///< this worker among the peers of that one
        plan_arrays arrays;
        const std::size_t* first_piece = nullptr;
        std::span<const std::uint32_t> mine; ///< numbers of its pieces that I own

        template <class T> [[nodiscard]] const T* array(std::uint64_t at) const noexcept
        {
            return C::one_address_space ? reinterpret_cast<const T*>(at) : reinterpret_cast<const T*>(base + at);
        }
    };

    /// Fills in, for each peer, the numbers of the pieces that it owns.
    void list_pieces(const overlap_plan& plan, std::span<const route> routes)
    {
        std::vector<std::vector<std::uint32_t>> by_peer(peers_->ranks.size());
        for (std::uint32_t i = 0; i < plan.pieces.size(); ++i) {
            const auto& piece = plan.pieces[i];
            const auto owner = peers_->classes[piece.holder_class].trainers[piece.owner];
            if (routes[piece.holder_class] == route::memory && owner != peer_table::self)
                by_peer[owner].push_back(i);
        }
        for (const auto& numbers : by_peer) {
            owned_from_.push_back(owned_.size());
            owned_.insert(owned_.end(), numbers.begin(), numbers.end());
        }
        owned_from_.push_back(owned_.size());
    }

    /// Only while the peer is held: with one address space its plan goes when it does.
    static void find_plan(remote& r)
    {
        r.arrays.pieces = r.template array<overlap_piece>(r.head->pieces);
        r.arrays.patterns = r.template array<overlap_plan::pattern>(r.head->patterns);
        r.arrays.runs = r.template array<pattern_run>(r.head->runs);
        r.first_piece = r.template array<std::size_t>(r.head->first_piece);
        const auto* const from = r.template array<std::size_t>(r.head->owned_from) + r.me;
        r.mine = {r.template array<std::uint32_t>(r.head->owned) + from[0], from[1] - from[0]};
    }

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
        announce();
        if (!reached(peer, number))
            segment_->wait(
                peers_->ranks[peer], [&] { return reached(peer, number); }, limit);
    }

    /// Looks for a peer's segment, which is there once its header says so.
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
    std::vector<std::uint32_t> owned_; ///< numbers of pieces, by the peer that owns them
    std::vector<std::size_t> owned_from_; ///< by peer, where its own begin there; one more at the end
    std::vector<std::size_t> gradients_at_; ///< by parameter
    tensor_view* views_ = nullptr; ///< by parameter; in the segment
    std::optional<decltype(std::declval<C&>().share(std::size_t {}))> segment_;
    std::byte* base_ = nullptr;
    std::size_t bytes_ = 0, buckets_ = 0;
    std::size_t slot_bytes_ = 0, slots_ = 0, slots_at_ = 0;
    std::vector<remote> remotes_;
    std::uint64_t step_ = 0;
    bool unannounced_ = false;
};

} // namespace sdp::detail
