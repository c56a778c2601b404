// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The tiles of the sums that an owner makes in the trainers' tensors.
///
/// Pieces are cut alike on all trainers, but where rows are long, one trainer's tensor may need several shapes for what is one
/// stretch of another's. Elements that are summed at once have one start and one shape on every side.

#include <sdp/detail/stream/tile_cutter.hpp>
#include <sdp/detail/stream/trainer_layouts.hpp>

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace sdp::detail {

class tensor_sum_tiles {
public:
    /// A tensor that sums of a bucket are made in.
    struct tensor {
        std::uint32_t peer; ///< whose; or `self`
        std::size_t parameter;
    };
    struct bucket_sums {
        tile_range tiles;
        std::size_t first_tensor = 0, tensors = 0;
        std::vector<std::uint32_t> sources; ///< peers
    };

    /// @param buffers of the buckets, some classes of which use the memory route
    /// @param layouts by peer, of the elements that this worker owns
    tensor_sum_tiles(const bucket_buffers& buffers, std::span<const peer_layout> layouts)
        : buffers_(&buffers)
    {
        for (const auto& layout : layouts) {
            auto& c = cursors_.emplace_back();
            c.layout = &layout;
            c.base = layout.rows.empty() ? 0 : shapes_.append(layout.shapes);
        }
        for (std::size_t b = 0; b < buffers.buckets().size(); ++b)
            add_bucket(b);
        for (std::size_t i = 0; i < cursors_.size(); ++i)
            if (cursors_[i].at != cursors_[i].layout->rows.size())
                fail_to_match(i);
        cursors_.clear(); // the layouts need not outlive this call
    }

    [[nodiscard]] const bucket_sums& of(std::size_t b) const noexcept { return buckets_[b]; }
    /// Of all buckets, one after the other; what places are of.
    [[nodiscard]] const std::vector<tensor>& tensors() const noexcept { return tensors_; }
    [[nodiscard]] const std::vector<tiles::work_tile>& tiles() const noexcept { return tiles_; }
    [[nodiscard]] const std::vector<tiles::row_shape>& shapes() const noexcept { return shapes_.shapes(); }
    [[nodiscard]] const std::vector<tiles::listed_run>& runs() const noexcept { return shapes_.runs(); }
    [[nodiscard]] const std::vector<tiles::sum_group>& groups() const noexcept { return groups_; }
    [[nodiscard]] const std::vector<tiles::tensor_side>& sides() const noexcept { return sides_; }

private:
    /// Position of the walk in a peer's layout.
    struct cursor {
        const peer_layout* layout = nullptr;
        std::uint32_t base = 0; ///< of its shapes
        std::size_t at = 0;
        std::uint64_t done = 0; ///< elements of the rows there

        [[nodiscard]] std::uint64_t left() const noexcept { return layout->rows[at].count - done; }
        void advance(std::uint64_t count) noexcept
        {
            done += count;
            if (left() == 0) {
                ++at;
                done = 0;
            }
        }
    };

    void add_bucket(std::size_t b)
    {
        const auto& plan = buffers_->plan();
        const auto& bucket = buffers_->buckets()[b];
        auto& out = buckets_.emplace_back();
        out.tiles.first = tiles_.size();
        out.first_tensor = tensors_.size();
        for (std::uint32_t i = 0; i < bucket.peers.size(); ++i)
            if (bucket.peers[i].read > 0)
                out.sources.push_back(i);
        for (const auto p : bucket.parameters) {
            of_parameter_ = tensors_.size();
            for (const auto& piece : plan.of(p))
                if (buffers_->routes()[piece.sharing_class] == route_kind::memory && plan.owner_of(piece) == plan.rank)
                    shapes_.split(plan, piece, [&](const shaped_rows& rows) { add_rows(b, p, piece, rows); });
        }
        out.tiles.count = tiles_.size() - out.tiles.first;
        out.tensors = tensors_.size() - out.first_tensor;
    }

    void add_rows(std::size_t b, std::size_t parameter, const overlap_piece& piece, const shaped_rows& rows)
    {
        const auto& c = buffers_->plan().class_of(piece);
        const auto& trainers = buffers_->peers().classes[piece.sharing_class].trainers;
        for (std::uint64_t done = 0; done < rows.count;) {
            std::uint64_t count = (std::min)(rows.count - done, shape_list::most);
            for (const auto peer : trainers)
                if (peer != peer_table::self) {
                    if (cursors_[peer].at == cursors_[peer].layout->rows.size())
                        fail_to_match(peer);
                    count = (std::min)(count, cursors_[peer].left());
                }
            const tiles::sum_group group {
                static_cast<std::uint32_t>(sides_.size()), static_cast<std::uint32_t>(trainers.size()), piece.sharing_class};
            std::uint64_t alignment = 0;
            for (std::size_t t = 0; t < trainers.size(); ++t) {
                const bool own = trainers[t] == peer_table::self;
                const auto part = own ? shapes_.part(rows, done, count) : take(cursors_[trainers[t]], count);
                alignment |= part.alignment | part.start | part.within;
                tiles::tensor_side side;
                side.start = part.start;
                side.within = part.within;
                side.shape = part.shape;
                side.place = place_of_tensor(trainers[t], parameter);
                side.rank = static_cast<std::uint32_t>(c.trainers[t]);
                side.written = own || !buffers_->values_to_trainers();
                sides_.push_back(side);
            }
            groups_.push_back(group);
            cut(b, count, alignment);
            done += count;
        }
    }

    /// The next elements of a peer, whose shapes are among all shapes.
    [[nodiscard]] static shaped_rows take(cursor& c, std::uint64_t count)
    {
        auto part = c.layout->shapes.part(c.layout->rows[c.at], c.done, count);
        part.shape += c.base;
        c.advance(count);
        return part;
    }

    [[nodiscard]] std::uint32_t place_of_tensor(std::uint32_t peer, std::size_t parameter)
    {
        for (std::size_t i = of_parameter_; i < tensors_.size(); ++i)
            if (tensors_[i].peer == peer)
                return static_cast<std::uint32_t>(i);
        tensors_.push_back({peer, parameter});
        return static_cast<std::uint32_t>(tensors_.size() - 1);
    }

    void cut(std::size_t b, std::uint64_t count, std::uint64_t alignment)
    {
        const auto type = buffers_->buckets()[b].type;
        const auto widest = static_cast<std::uint32_t>(16 / (std::max)(size_of(type), buffers_->wire_size_of(b)));
        const auto width = width_of(widest, alignment);
        for (std::uint64_t done = 0; done < count; done += tiles::tile_elements) {
            const auto here = std::min<std::uint64_t>(tiles::tile_elements, count - done), whole = here - here % width;
            add_tile(done, whole, width);
            add_tile(done + whole, here - whole, 1);
        }
    }
    void add_tile(std::uint64_t first, std::uint64_t count, std::uint32_t width)
    {
        if (count == 0)
            return;
        tiles::work_tile t;
        t.packed = first;
        t.count = static_cast<std::uint32_t>(count);
        t.group = static_cast<std::uint32_t>(groups_.size() - 1);
        t.width = static_cast<std::uint16_t>(width);
        tiles_.push_back(t);
    }

    [[noreturn]] void fail_to_match(std::size_t peer) const
    {
        fail("rank ", buffers_->plan().rank, " and rank ", buffers_->peers().ranks[peer],
            " have plans of different sizes for the gradients that they share; expected both from the same model and residents");
    }

    const bucket_buffers* buffers_;
    std::vector<cursor> cursors_; ///< by peer
    shape_list shapes_; ///< this worker's, and all peers'
    std::vector<bucket_sums> buckets_;
    std::vector<tensor> tensors_;
    std::size_t of_parameter_ = 0; ///< where the tensors of the parameter at hand begin
    std::vector<tiles::work_tile> tiles_;
    std::vector<tiles::sum_group> groups_;
    std::vector<tiles::tensor_side> sides_;
};

} // namespace sdp::detail
