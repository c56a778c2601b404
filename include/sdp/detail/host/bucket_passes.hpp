// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief What is done to the gradients of a bucket: packed, summed, unpacked; by whichever ways its classes go.
///
/// Knows what lies where, but no communicator, and not when what is done: that is the engine's. After the first step it allocates
/// nothing.

#include <sdp/detail/exchange/bucket_buffers.hpp>
#include <sdp/detail/exchange/step_weights.hpp>
#include <sdp/detail/host/segment_layout.hpp>

#include <algorithm>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

namespace sdp::detail {

class bucket_passes {
public:
    explicit bucket_passes(bucket_buffers& store)
        : store_(&store)
        , plan_(&store.plan())
        , weights_(store.plan(), store.options().normalizer)
        , cursors_(store.peers().ranks.size())
        , packer_(most_pieces(store.plan()))
        , places_(most_pieces(store.plan()))
    {
        std::size_t most = 0;
        for (const auto& c : plan_->classes)
            most = (std::max)(most, c.trainers.size());
        std::apply([&](auto&... each) { (each.prepare(cursors_.size(), most), ...); }, spaces_);
    }

    /// Where this worker's part in the memory route is described; before the first step, and not at all if it has none.
    void meet_in(segment_layout& layout) noexcept { layout_ = &layout; }

    /// Makes ready for a step. `weights` are by rank, or empty for the plain mean, and must stay until the step is done.
    void begin_step(std::span<const double> weights) { weights_.begin(weights); }
    /// Copies the gradients of a bucket to where they travel from.
    void pack(std::size_t b)
    {
        with_types(store_->buckets()[b].type, store_->options().wire, [&]<class T, class W>(T, W) { pack<T, W>(b); });
    }
    /// Sums what this worker sums of a bucket: of the classes that go through memory, or of all others.
    void reduce(std::size_t b, bool through_memory)
    {
        with_types(
            store_->buckets()[b].type, store_->options().wire, [&]<class T, class W>(T, W) { reduce<T, W>(b, through_memory); });
    }
    /// Copies the means that have come back to the gradients.
    void unpack(std::size_t b)
    {
        with_types(store_->buckets()[b].type, store_->options().wire, [&]<class T, class W>(T, W) { unpack<T, W>(b); });
    }

private:
    [[nodiscard]] static std::size_t most_pieces(const overlap_plan& plan)
    {
        std::size_t out = 0;
        for (std::size_t p = 0; p + 1 < plan.first_piece.size(); ++p)
            out = (std::max)(out, plan.of(p).size());
        return out;
    }

    /// How many elements of each section of a peer's have been gone through.
    struct cursor {
        std::size_t to_owner = 0, from_trainer = 0, swap_out = 0, swap_in = 0, exposed = 0;
    };
    /// What a sum needs, by element types; kept so that a step allocates nothing.
    template <class T, class W> struct workspace {
        std::vector<side<T, W>> sides;
        std::vector<memory_source<T, W>> sources; ///< by peer
        std::vector<W*> sections; ///< by peer: its next packed elements
        reduction<T, W> reduce;

        void prepare(std::size_t peers, std::size_t trainers)
        {
            sides.reserve(trainers);
            sources.resize(peers);
            sections.resize(peers);
        }
    };

    template <class T> [[nodiscard]] T* elements(std::size_t b, std::size_t offset) noexcept
    {
        return reinterpret_cast<T*>(store_->at(b, offset)); // bytes from operator new, aligned to a cache line's multiple of T
    }
    [[nodiscard]] std::uint32_t other_trainer(const overlap_piece& piece) const noexcept
    {
        return store_->peers().classes[piece.sharing_class].trainers[plan_->class_of(piece).position == 0 ? 1 : 0];
    }

    /// Fills `places_` with where each piece of a parameter is packed, or null, going on from `cursors_`.
    template <class W> void find_places(std::size_t b, std::size_t p, std::size_t& kept, std::size_t& native)
    {
        const auto& bucket = store_->buckets()[b];
        std::size_t i = 0;
        for (const auto& piece : plan_->of(p)) {
            const auto route = store_->routes()[piece.sharing_class];
            const auto owner = store_->peers().classes[piece.sharing_class].trainers[piece.owner];
            const auto size = static_cast<std::size_t>(plan_->size_of(piece));
            W* place = nullptr;
            if (route == route_kind::swap) {
                const auto peer = other_trainer(piece);
                const auto& share = bucket.peers[peer];
                if (!share.sent_from)
                    place = elements<W>(b, share.send_at) + share.to_owner
                        + std::exchange(cursors_[peer].swap_out, cursors_[peer].swap_out + size);
            } else if (route == route_kind::native) {
                place = elements<W>(b, bucket.native_at) + std::exchange(native, native + size);
            } else if (route == route_kind::two_sided || route == route_kind::memory) {
                if (owner == peer_table::self) {
                    if (store_->is_interleaved(p))
                        place = elements<W>(b, bucket.kept_at) + std::exchange(kept, kept + size);
                } else if (route == route_kind::memory) {
                    if (!store_->is_exposed_in_place(p))
                        place = reinterpret_cast<W*>(layout_->section(b, bucket.peers[owner]))
                            + std::exchange(cursors_[owner].exposed, cursors_[owner].exposed + size);
                } else if (!bucket.peers[owner].sent_from) {
                    place = elements<W>(b, bucket.peers[owner].send_at)
                        + std::exchange(cursors_[owner].to_owner, cursors_[owner].to_owner + size);
                }
            }
            places_[i++] = place;
        }
    }

    /// Calls `f(parameter)` for what this worker trains of a bucket, with the places of its pieces found.
    template <class W, class F> void for_each_trained(std::size_t b, F f)
    {
        std::fill(cursors_.begin(), cursors_.end(), cursor {});
        std::size_t kept = 0, native = 0;
        for (const auto p : store_->buckets()[b].parameters)
            if (store_->tensors().gradients()[p].data != nullptr) { // else nothing of it is trained here
                find_places<W>(b, p, kept, native);
                f(p);
            }
    }

    template <class T, class W> void pack(std::size_t b)
    {
        for_each_trained<W>(b, [&](std::size_t p) {
            const auto& gradient = store_->tensors().gradients()[p];
            packer_.gather<T, W>(*plan_, p, gradient, places_);
            if (layout_ != nullptr)
                layout_->place(p, store_->is_exposed_in_place(p) ? gradient : tensor_view {});
            if (store_->buckets()[b].native > 0 && weights_.weighted())
                weigh<T>(p);
        });
    }

    /// The transport knows no weights, so they are put on before.
    template <class T> void weigh(std::size_t p)
    {
        std::size_t i = 0;
        for (const auto& piece : plan_->of(p)) {
            auto* const place = static_cast<T*>(places_[i++]);
            if (store_->routes()[piece.sharing_class] != route_kind::native)
                continue;
            const auto weight = static_cast<T>(weights_.weight(plan_->rank, piece.sharing_class));
            for_each_index(static_cast<std::size_t>(plan_->size_of(piece)),
                [=](std::size_t e) { place[e] = weight == 0 ? T(0) : place[e] * weight; });
        }
    }

    template <class T, class W> void unpack(std::size_t b)
    {
        for_each_trained<W>(b, [&](std::size_t p) {
            std::size_t i = 0;
            for (const auto& piece : plan_->of(p)) {
                auto& place = places_[i++];
                const auto route = store_->routes()[piece.sharing_class];
                const bool mine = plan_->owner_of(piece) == plan_->rank;
                if (route == route_kind::native) {
                    const auto divisor = static_cast<T>(weights_.divisor(piece.sharing_class));
                    auto* const sum = static_cast<T*>(place);
                    for_each_index(static_cast<std::size_t>(plan_->size_of(piece)),
                        [=](std::size_t e) { sum[e] = divisor == 0 ? T(0) : sum[e] / divisor; });
                } else if ((route == route_kind::swap && !store_->is_interleaved(p))
                    || (!mine && route != route_kind::swap && store_->values_to_trainers())) {
                    place = nullptr; // in the tensor already, or nobody sends it
                }
            }
            packer_.scatter<T, W>(*plan_, p, store_->tensors().gradients()[p], places_);
        });
    }

    template <class T, class W> void reduce(std::size_t b, bool through_memory)
    {
        auto& w = std::get<workspace<T, W>>(spaces_);
        const auto for_each_source = [&](auto f) {
            if (through_memory)
                for (std::uint32_t i = 0; i < store_->buckets()[b].peers.size(); ++i)
                    if (store_->buckets()[b].peers[i].read > 0)
                        f(i);
        };
        for_each_source([&](std::uint32_t i) { w.sections[i] = reinterpret_cast<W*>(layout_->section_of(i, b)); });
        for_each_trained<W>(b, [&](std::size_t p) {
            const local_tensor<T> own(store_->tensors().gradients()[p]);
            for_each_source([&](std::uint32_t i) { layout_->locate<T, W>(i, p, w.sections[i], w.sources[i]); });
            std::size_t number = 0;
            for (const auto& piece : plan_->of(p)) {
                auto* const place = static_cast<W*>(places_[number++]);
                const auto route = store_->routes()[piece.sharing_class];
                const bool mine = plan_->owner_of(piece) == plan_->rank;
                if (route == route_kind::none || route == route_kind::native || (route == route_kind::memory) != through_memory
                    || (!mine && route != route_kind::swap))
                    continue;
                if (route == route_kind::local && weights_.is_mean_of_one(piece.sharing_class))
                    continue; // also when weighted
                sum(w, b, piece, own, route == route_kind::swap && !store_->is_interleaved(p) ? nullptr : place);
            }
        });
    }

    /// Sums a piece in rank order. `place` is where this worker's elements were packed, if the mean is to come there too.
    template <class T, class W>
    void sum(workspace<T, W>& w, std::size_t b, const overlap_piece& piece, const local_tensor<T>& own, W* place)
    {
        const auto& c = plan_->class_of(piece);
        const auto route = store_->routes()[piece.sharing_class];
        const auto size = static_cast<std::size_t>(plan_->size_of(piece));
        piece_stream in(plan_arrays(*plan_), piece), out = in;
        w.sides.clear();
        for (std::size_t t = 0; t < c.trainers.size(); ++t) {
            const auto peer = store_->peers().classes[piece.sharing_class].trainers[t];
            auto& s = w.sides.emplace_back();
            s.weight = static_cast<T>(weights_.weight(c.trainers[t], piece.sharing_class));
            if (peer == peer_table::self) {
                s.packed = place;
                s.tensor = &own;
                s.in = &in;
                s.out = &out;
            } else if (route == route_kind::memory) {
                auto& source = w.sources[peer];
                s.written = !store_->values_to_trainers();
                s.packed = source.packed;
                s.tensor = &source.tensor;
                s.in = &source.in;
                s.out = &source.out;
                if (source.packed != nullptr)
                    w.sections[peer] = source.packed += size;
            } else {
                const auto& share = store_->buckets()[b].peers[peer];
                auto& done = cursors_[peer];
                s.written = route == route_kind::two_sided && !store_->values_to_trainers() && !share.returned_from;
                s.packed = elements<W>(b, share.receive_at)
                    + (route == route_kind::swap ? share.from_trainer + std::exchange(done.swap_in, done.swap_in + size)
                                                 : std::exchange(done.from_trainer, done.from_trainer + size));
            }
        }
        w.reduce(w.sides, size, weights_.weighted(), static_cast<T>(weights_.divisor(piece.sharing_class)));
    }

    bucket_buffers* store_;
    const overlap_plan* plan_;
    segment_layout* layout_ = nullptr;
    step_weights weights_;
    // Kept between calls so that a step allocates nothing.
    std::vector<cursor> cursors_;
    packer packer_;
    std::vector<void*> places_; ///< by piece of the parameter at hand
    std::tuple<workspace<float, float>, workspace<float, bf16_bits>, workspace<float, f16_bits>, workspace<double, double>>
        spaces_;
};

} // namespace sdp::detail
