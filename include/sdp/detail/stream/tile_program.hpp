// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The tiles of every phase of every bucket, made once from the plan and the layout of the buffers.

#include <sdp/detail/exchange/bucket_buffers.hpp>
#include <sdp/detail/stream/tile_cutter.hpp>

#include <algorithm>
#include <limits>
#include <span>
#include <utility>
#include <vector>

namespace sdp::detail {

class tile_program {
public:
    using range = tile_range;
    /// Phases of a bucket's launches, in this order.
    struct bucket_tiles {
        range pack; ///< gradients to where they are sent from
        range native; ///< what the transport sums, there and back
        range reduce; ///< sums of what is owned or swapped
        range alone; ///< sums of this worker only, whose mean is itself unless it counts for nothing
        range unpack; ///< received means
        range owned; ///< gradients, packed as in the flat shard; sums of squares have a result for each, bucket after bucket
        range owned_values;
        range pack_values, unpack_values;
        std::vector<std::size_t> gradients; ///< parameters, by a tile's tensor
        std::vector<std::pair<std::size_t, std::size_t>> values; ///< parameter and slab, by a tile's tensor

        /// True if gradients are packed, summed or unpacked other than in the tensors of several workers.
        [[nodiscard]] bool has_other_work() const noexcept
        {
            return pack.count + native.count + reduce.count + alone.count + unpack.count > 0;
        }
    };

    /// The sums of squares of a piece that is owned here.
    struct square_part {
        std::size_t parameter, first, count; ///< results
    };

    /// @throws sdp::input_error if a bucket has more tensors than one launch takes
    explicit tile_program(const bucket_buffers& buffers)
        : buffers_(&buffers)
        , plan_(&buffers.plan())
        , walker_(buffers.places())
        , cutter_(buffers.plan())
    {
        std::size_t shard = 0;
        for (const auto& piece : plan_->pieces) {
            shard_at_.push_back(shard);
            shard += plan_->owner_of(piece) == plan_->rank ? static_cast<std::size_t>(plan_->size_of(piece)) : 0;
        }
        for (std::size_t b = 0; b < buffers.buckets().size(); ++b) {
            buckets_.emplace_back();
            add_gradients(b);
            add_values(b);
            if ((std::max)(buckets_.back().gradients.size(), buckets_.back().values.size()) > tiles::most_tensors)
                fail("bucket ", b, " holds more than ", tiles::most_tensors,
                    " tensors, the most that one launch takes; expected smaller buckets");
        }
        std::ranges::sort(squares_, {}, [](const square_part& s) { return std::pair(s.parameter, s.first); });
    }

    [[nodiscard]] const bucket_tiles& of(std::size_t b) const noexcept { return buckets_[b]; }
    [[nodiscard]] const std::vector<tiles::work_tile>& tiles() const noexcept { return cutter_.tiles(); }
    [[nodiscard]] const std::vector<tiles::row_shape>& shapes() const noexcept { return cutter_.shapes(); }
    [[nodiscard]] const std::vector<tiles::listed_run>& runs() const noexcept { return cutter_.runs(); }
    [[nodiscard]] const std::vector<tiles::sum_group>& groups() const noexcept { return groups_; }
    [[nodiscard]] const std::vector<tiles::sum_side>& sides() const noexcept { return sides_; }
    /// In order of declaration.
    [[nodiscard]] const std::vector<square_part>& squares() const noexcept { return squares_; }
    [[nodiscard]] std::size_t square_results() const noexcept { return square_results_; }

private:
    /// Offset of an owned piece in the flat shard.
    [[nodiscard]] std::size_t shard_of(const overlap_piece& piece) const noexcept
    {
        return shard_at_[static_cast<std::size_t>(&piece - plan_->pieces.data())];
    }

    /// The index of a tensor that tiles of a bucket refer to.
    template <class T> [[nodiscard]] static std::uint16_t number_of(std::vector<T>& list, const T& entry)
    {
        const auto at = std::ranges::find(list, entry);
        if (at != list.end())
            return static_cast<std::uint16_t>(at - list.begin());
        list.push_back(entry);
        return static_cast<std::uint16_t>(list.size() - 1);
    }

    void add_gradients(std::size_t b)
    {
        const auto& bucket = buffers_->buckets()[b];
        const std::size_t wire = buffers_->wire_size_of(b), element = size_of(bucket.type);
        std::vector<tile_cutter::job> pack, native_sums, reduce, alone, unpack, owned;
        walker_.begin_gradients(bucket, wire);
        for (const auto p : bucket.parameters)
            for (const auto& piece : plan_->of(p)) {
                const auto route = buffers_->routes()[piece.sharing_class];
                if (route == route_kind::none)
                    continue;
                const auto tensor = number_of(buckets_.back().gradients, p);
                const bool mine = walker_.owner_of(piece) == peer_table::self;
                const auto own = walker_.own(p, piece);
                if (mine)
                    owned.push_back({&piece, shard_of(piece), 1, 0, tensor}); // one at a time, so that no tile is cut in two
                if (route == route_kind::native) {
                    native_sums.push_back({&piece, own.offset, 0, piece.sharing_class, tensor});
                    continue;
                }
                if (route == route_kind::memory)
                    continue; // summed in the tensors themselves
                if (route == route_kind::swap || !mine)
                    pack.push_back({&piece, own.offset, 0, 0, tensor});
                if (route != route_kind::swap && !mine) {
                    if (!buffers_->values_to_trainers())
                        unpack.push_back({&piece, own.offset, 0, 0, tensor});
                    continue;
                }
                const bool is_mean = route == route_kind::local && buffers_->options().normalizer == normalizer::holders;
                (is_mean ? alone : reduce)
                    .push_back({&piece, 0, add_group(b, piece), static_cast<std::uint32_t>(groups_.size() - 1), tensor});
            }
        auto& out = buckets_.back();
        out.pack = cutter_.cut(pack, bucket.type, wire);
        out.native = cutter_.cut(native_sums, bucket.type, element);
        out.reduce = cutter_.cut(reduce, bucket.type, wire);
        out.alone = cutter_.cut(alone, bucket.type, wire);
        out.unpack = cutter_.cut(unpack, bucket.type, wire);
        out.owned.first = cutter_.tiles().size();
        for (const auto& j : owned) {
            const auto count = cutter_.cut({j}, bucket.type, wire).count;
            squares_.push_back({out.gradients[j.tensor], square_results_, count});
            square_results_ += count;
        }
        out.owned.count = cutter_.tiles().size() - out.owned.first;
    }

    /// The sides of a piece that is summed here; returns their places, or-ed.
    [[nodiscard]] std::uint64_t add_group(std::size_t b, const overlap_piece& piece)
    {
        const std::size_t wire = buffers_->wire_size_of(b);
        const auto& c = plan_->class_of(piece);
        const auto route = buffers_->routes()[piece.sharing_class];
        groups_.push_back(
            {static_cast<std::uint32_t>(sides_.size()), static_cast<std::uint32_t>(c.trainers.size()), piece.sharing_class});
        std::uint64_t places = 0;
        for (std::size_t t = 0; t < c.trainers.size(); ++t) {
            const auto peer = buffers_->peers().classes[piece.sharing_class].trainers[t];
            tiles::sum_side side;
            side.rank = static_cast<std::uint32_t>(c.trainers[t]);
            side.written = peer == peer_table::self || (route == route_kind::two_sided && !buffers_->values_to_trainers());
            if (peer != peer_table::self) {
                const std::size_t at = walker_.received(piece, peer);
                places |= at;
                side.at = at * wire;
            }
            sides_.push_back(side);
        }
        return places;
    }

    void add_values(std::size_t b)
    {
        const auto& bucket = buffers_->buckets()[b];
        const std::size_t element = size_of(bucket.type);
        std::vector<tile_cutter::job> pack, unpack, owned;
        walker_.begin_values(bucket);
        for (const auto p : bucket.parameters)
            for (const auto& piece : plan_->of(p)) {
                const auto number = [&] { return number_of(buckets_.back().values, {p, std::size_t {piece.slab}}); };
                if (plan_->owner_of(piece) == plan_->rank)
                    owned.push_back({&piece, shard_of(piece), 1, 0, number()});
                walker_.values(
                    piece,
                    [&](std::uint32_t, std::size_t at) {
                        pack.push_back({&piece, at, 0, 0, number()});
                    },
                    [&](std::uint32_t, std::size_t at) {
                        unpack.push_back({&piece, at, 0, 0, number()});
                    });
            }
        buckets_.back().pack_values = cutter_.cut(pack, bucket.type, element);
        buckets_.back().unpack_values = cutter_.cut(unpack, bucket.type, element);
        buckets_.back().owned_values = cutter_.cut(owned, bucket.type, element);
    }

    const bucket_buffers* buffers_;
    const overlap_plan* plan_;
    piece_places walker_;
    tile_cutter cutter_;
    std::vector<bucket_tiles> buckets_;
    std::vector<tiles::sum_group> groups_;
    std::vector<tiles::sum_side> sides_;
    std::vector<std::size_t> shard_at_; ///< by piece
    std::vector<square_part> squares_;
    std::size_t square_results_ = 0;
};

} // namespace sdp::detail
