// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Packs, reduces and unpacks the gradients of a bucket.

#include <sdp/detail/elements/element_dispatch.hpp>
#include <sdp/detail/host/bucket_passes.hpp>
#include <sdp/src/separate.hpp>

#include <algorithm>
#include <tuple>

namespace sdp::detail {

SDP_INLINE bucket_passes::bucket_passes(bucket_buffers& buffers)
    : buffers_(&buffers)
    , plan_(&buffers.plan())
    , weights_(buffers.plan(), buffers.options().normalizer)
    , walker_(buffers.places())
    , packer_(most_pieces(buffers.plan()))
    , places_(most_pieces(buffers.plan()))
{
    std::size_t most = 0;
    for (const auto& c : plan_->classes)
        most = (std::max)(most, c.trainers.size());
    std::apply([&](auto&... each) { (each.prepare(buffers.peers().ranks.size(), most), ...); }, spaces_);
}

SDP_INLINE std::size_t bucket_passes::most_pieces(const overlap_plan& plan)
{
    std::size_t out = 0;
    for (std::size_t p = 0; p + 1 < plan.first_piece.size(); ++p)
        out = (std::max)(out, plan.of(p).size());
    return out;
}

template <class W> inline void bucket_passes::find_places(std::size_t p, W* buffer, W* exposed)
{
    std::size_t i = 0;
    for (const auto& piece : plan_->of(p)) {
        const auto own = walker_.own(p, piece);
        places_[i++] = own.section == piece_section::none ? nullptr
            : own.section == piece_section::exposed       ? exposed + own.offset
                                                          : buffer + own.offset;
    }
}

template <class W, class F> inline void bucket_passes::for_each_trained(std::size_t b, F f)
{
    walker_.begin_gradients(buffers_->buckets()[b], buffers_->wire_size_of(b));
    W* const exposed = layout_ != nullptr ? reinterpret_cast<W*>(layout_->exposed(b)) : nullptr;
    for (const auto p : buffers_->buckets()[b].parameters)
        if (buffers_->tensors().gradients()[p].data != nullptr) { // else nothing of it is trained here
            find_places(p, elements<W>(b), exposed);
            f(p);
        }
}

template <class W> inline W* bucket_passes::elements(std::size_t b) noexcept
{
    return reinterpret_cast<W*>(buffers_->at(b, 0));
}

template <class T, class W> inline void bucket_passes::pack(std::size_t b)
{
    for_each_trained<W>(b, [&](std::size_t p) {
        const auto& gradient = buffers_->tensors().gradients()[p];
        packer_.gather<T, W>(*plan_, p, gradient, places_);
        if (layout_ != nullptr)
            layout_->place(p, buffers_->is_exposed_in_place(p) ? gradient : tensor_view {});
        if (buffers_->buckets()[b].native > 0 && weights_.weighted())
            weigh<T>(p);
    });
}

template <class T> inline void bucket_passes::weigh(std::size_t p)
{
    std::size_t i = 0;
    for (const auto& piece : plan_->of(p)) {
        auto* const place = static_cast<T*>(places_[i++]);
        if (buffers_->routes()[piece.sharing_class] != route_kind::native)
            continue;
        const auto weight = static_cast<T>(weights_.weight(plan_->rank, piece.sharing_class));
        for_each_index(static_cast<std::size_t>(plan_->size_of(piece)),
            [=](std::size_t e) { place[e] = weight == 0 ? T(0) : place[e] * weight; });
    }
}

template <class T, class W> inline void bucket_passes::unpack(std::size_t b)
{
    for_each_trained<W>(b, [&](std::size_t p) {
        std::size_t i = 0;
        for (const auto& piece : plan_->of(p)) {
            auto& place = places_[i++];
            const auto route = buffers_->routes()[piece.sharing_class];
            const bool mine = plan_->owner_of(piece) == plan_->rank;
            if (route == route_kind::native) {
                const auto divisor = static_cast<T>(weights_.divisor(piece.sharing_class));
                auto* const sum = static_cast<T*>(place);
                for_each_index(static_cast<std::size_t>(plan_->size_of(piece)),
                    [=](std::size_t e) { sum[e] = divisor == 0 ? T(0) : sum[e] / divisor; });
            } else if ((route == route_kind::swap && !buffers_->is_interleaved(p))
                || (!mine && route != route_kind::swap && buffers_->values_to_trainers())) {
                place = nullptr; // in the tensor already, or nobody sends it
            }
        }
        packer_.scatter<T, W>(*plan_, p, buffers_->tensors().gradients()[p], places_);
    });
}

template <class T, class W> inline void bucket_passes::reduce(std::size_t b, bool through_memory)
{
    auto& w = std::get<workspace<T, W>>(spaces_);
    const auto for_each_source = [&](auto f) {
        if (through_memory)
            for (std::uint32_t i = 0; i < buffers_->buckets()[b].peers.size(); ++i)
                if (buffers_->buckets()[b].peers[i].read > 0)
                    f(i);
    };
    for_each_source([&](std::uint32_t i) { w.sections[i] = reinterpret_cast<W*>(layout_->section_of(i, b)); });
    for_each_trained<W>(b, [&](std::size_t p) {
        const local_tensor<T> own(buffers_->tensors().gradients()[p]);
        for_each_source([&](std::uint32_t i) { layout_->locate<T, W>(i, p, w.sections[i], w.sources[i]); });
        std::size_t number = 0;
        for (const auto& piece : plan_->of(p)) {
            auto* const place = static_cast<W*>(places_[number++]);
            const auto route = buffers_->routes()[piece.sharing_class];
            const bool mine = plan_->owner_of(piece) == plan_->rank;
            if (route == route_kind::none || route == route_kind::native || (route == route_kind::memory) != through_memory
                || (!mine && route != route_kind::swap))
                continue;
            if (route == route_kind::local && weights_.is_mean_of_one(piece.sharing_class))
                continue; // also when weighted
            sum(w, b, piece, own, route == route_kind::swap && !buffers_->is_interleaved(p) ? nullptr : place);
        }
    });
}

template <class T, class W>
inline void bucket_passes::sum(
    workspace<T, W>& w, std::size_t b, const overlap_piece& piece, const local_tensor<T>& own, W* place)
{
    const auto& c = plan_->class_of(piece);
    const auto route = buffers_->routes()[piece.sharing_class];
    const auto size = static_cast<std::size_t>(plan_->size_of(piece));
    piece_stream in(plan_arrays(*plan_), piece), out = in;
    w.sides.clear();
    for (std::size_t t = 0; t < c.trainers.size(); ++t) {
        const auto peer = buffers_->peers().classes[piece.sharing_class].trainers[t];
        auto& s = w.sides.emplace_back();
        s.weight = static_cast<T>(weights_.weight(c.trainers[t], piece.sharing_class));
        if (peer == peer_table::self) {
            s.packed = place;
            s.tensor = &own;
            s.in = &in;
            s.out = &out;
        } else if (route == route_kind::memory) {
            auto& source = w.sources[peer];
            s.written = !buffers_->values_to_trainers();
            s.packed = source.packed;
            s.tensor = &source.tensor;
            s.in = &source.in;
            s.out = &source.out;
            if (source.packed != nullptr)
                w.sections[peer] = source.packed += size;
        } else {
            const auto& share = buffers_->buckets()[b].peers[peer];
            s.written = route == route_kind::two_sided && !buffers_->values_to_trainers() && !share.returned_from;
            s.packed = elements<W>(b) + walker_.received(piece, peer);
        }
    }
    w.reduce(w.sides, size, weights_.weighted(), static_cast<T>(weights_.divisor(piece.sharing_class)));
}

SDP_INLINE void bucket_passes::pack(std::size_t b)
{
    with_types(buffers_->buckets()[b].type, buffers_->options().wire, [&]<class T, class W>(T, W) { pack<T, W>(b); });
}

SDP_INLINE void bucket_passes::reduce(std::size_t b, bool through_memory)
{
    with_types(
        buffers_->buckets()[b].type, buffers_->options().wire, [&]<class T, class W>(T, W) { reduce<T, W>(b, through_memory); });
}

SDP_INLINE void bucket_passes::unpack(std::size_t b)
{
    with_types(buffers_->buckets()[b].type, buffers_->options().wire, [&]<class T, class W>(T, W) { unpack<T, W>(b); });
}

} // namespace sdp::detail
