// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Layouts that trainers send to owners before the first step: the offsets in their tensors of the elements that the owner
/// sums.
///
/// An element is elsewhere in every trainer's tensor, and only the trainer's plan says where. Both ends walk what they share in
/// the same order, so a list of rows in that order is all that an owner needs, and it need not look into anybody's plan.

#include <sdp/comm/detail/root_collectives.hpp>
#include <sdp/detail/exchange/bucket_buffers.hpp>
#include <sdp/detail/stream/tile_shapes.hpp>

#include <array>
#include <chrono>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

namespace sdp::detail {

/// A trainer's elements that one owner sums in place, bucket by bucket.
struct peer_layout {
    std::vector<shaped_rows> rows;
    shape_list shapes;
};

/// By peer: this worker's elements that the peer owns.
[[nodiscard]] inline std::vector<peer_layout> layouts_for_owners(const bucket_buffers& buffers)
{
    const auto& plan = buffers.plan();
    std::vector<peer_layout> out(buffers.peers().ranks.size());
    for (const auto& bucket : buffers.buckets())
        for (const auto p : bucket.parameters)
            for (const auto& piece : plan.of(p)) {
                const auto owner = buffers.peers().classes[piece.sharing_class].trainers[piece.owner];
                if (buffers.routes()[piece.sharing_class] != route_kind::memory || owner == peer_table::self)
                    continue;
                auto& layout = out[owner];
                layout.shapes.split(plan, piece, [&](const shaped_rows& rows) { layout.rows.push_back(rows); });
            }
    return out;
}

/// By peer: the peer's elements that this worker owns. Collective among the workers on the memory route.
template <communicator C>
[[nodiscard]] std::vector<peer_layout> exchange_layouts(C& comm, const bucket_buffers& buffers, std::chrono::milliseconds limit)
{
    struct sizes {
        std::size_t rows, shapes, runs;
        [[nodiscard]] std::size_t bytes() const noexcept
        {
            return rows * sizeof(shaped_rows) + shapes * sizeof(tiles::row_shape) + runs * sizeof(tiles::listed_run);
        }
    };
    const auto& ranks = buffers.peers().ranks;
    const auto mine = layouts_for_owners(buffers);
    std::vector<sizes> sent(ranks.size()), received(ranks.size());
    std::vector<std::vector<std::byte>> to(ranks.size()), from(ranks.size());
    std::vector<bool> is_source(ranks.size(), false);
    for (const auto& bucket : buffers.buckets())
        for (std::size_t i = 0; i < ranks.size(); ++i)
            is_source[i] = is_source[i] || bucket.peers[i].read > 0;
    const auto copy_out = [](std::vector<std::byte>& bytes, const auto& list) {
        const auto view = std::as_bytes(std::span(list));
        bytes.insert(bytes.end(), view.begin(), view.end());
    };
    std::vector<outgoing> out;
    std::vector<incoming> in;
    for (std::size_t i = 0; i < ranks.size(); ++i) {
        if (!mine[i].rows.empty()) {
            sent[i] = {mine[i].rows.size(), mine[i].shapes.shapes().size(), mine[i].shapes.runs().size()};
            copy_out(to[i], mine[i].rows);
            copy_out(to[i], mine[i].shapes.shapes());
            copy_out(to[i], mine[i].shapes.runs());
            out.push_back({ranks[i], &sent[i], sizeof(sizes)});
        }
        if (is_source[i])
            in.push_back({ranks[i], &received[i], sizeof(sizes)});
    }
    comm.exchange(layout_tag, out, in).wait(limit);
    out.clear();
    in.clear();
    for (std::size_t i = 0; i < ranks.size(); ++i) {
        if (!to[i].empty())
            out.push_back({ranks[i], to[i].data(), to[i].size()});
        if (is_source[i]) {
            from[i].resize(received[i].bytes());
            in.push_back({ranks[i], from[i].data(), from[i].size()});
        }
    }
    comm.exchange(layout_tag, out, in).wait(limit);

    std::vector<peer_layout> layouts(ranks.size());
    for (std::size_t i = 0; i < ranks.size(); ++i) {
        const auto* at = from[i].data();
        const auto copy_in = [&at]<class T>(std::vector<T> list) {
            if (!list.empty())
                std::memcpy(list.data(), at, list.size() * sizeof(T));
            at += list.size() * sizeof(T);
            return list;
        };
        if (!is_source[i])
            continue;
        layouts[i].rows = copy_in(std::vector<shaped_rows>(received[i].rows));
        auto shapes = copy_in(std::vector<tiles::row_shape>(received[i].shapes));
        layouts[i].shapes = shape_list(std::move(shapes), copy_in(std::vector<tiles::listed_run>(received[i].runs)));
    }
    return layouts;
}

} // namespace sdp::detail
