// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Cuts pieces of a plan into tiles, and keeps the shapes that the tiles refer to.

#include <sdp/detail/tiles.hpp>
#include <sdp/overlap/plan.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <utility>
#include <vector>

namespace sdp::detail {

/// Tiles in the list of all tiles.
struct tile_range {
    std::size_t first = 0, count = 0;
};

class tile_cutter {
public:
    /// A piece on its way.
    struct job {
        const overlap_piece* piece;
        std::uint64_t packed; ///< element of the buffer, or of the piece
        std::uint64_t others; ///< more places that it is packed at, or-ed: what they are aligned to
        std::uint32_t group;
        std::uint16_t tensor;
    };

    explicit tile_cutter(const overlap_plan& plan)
        : plan_(&plan)
    {
    }

    [[nodiscard]] tile_range cut(const std::vector<job>& jobs, element_type type, std::size_t packed_size)
    {
        const auto widest = static_cast<std::uint32_t>(16 / std::max(size_of(type), packed_size));
        const std::size_t first = tiles_.size();
        for (const auto& j : jobs)
            cut(j, widest);
        return {first, tiles_.size() - first};
    }

    [[nodiscard]] const std::vector<work_tile>& tiles() const noexcept { return tiles_; }
    [[nodiscard]] const std::vector<row_shape>& shapes() const noexcept { return shapes_; }
    [[nodiscard]] const std::vector<listed_run>& runs() const noexcept { return runs_; }

private:
    /// How rows look, and what of them limits how many elements move at a time.
    struct known_shape {
        std::uint32_t number = 0;
        std::uint64_t first = 0; ///< offset of the first run, if runs are alike
        std::uint64_t alignment = 0; ///< offsets and lengths, or-ed
        bool plain = false; ///< one run
    };

    static constexpr std::uint64_t most = std::uint64_t {1} << 30; ///< elements of a row that is walked as one

    void cut(const job& j, std::uint32_t widest)
    {
        const auto& piece = *j.piece;
        const auto runs = plan_->runs_of(piece);
        const std::uint64_t per_row = plan_->patterns[piece.pattern].elements, size = plan_->size_of(piece);
        const bool stretch = runs.size() == 1 && (piece.rows == 1 || runs[0].length == piece.stride);
        if (stretch) {
            cut_stretch(j, widest, piece.start + runs[0].offset, 0, size);
        } else if (per_row >= most) {
            std::uint64_t done = 0;
            for (std::uint32_t row = 0; row < piece.rows; ++row)
                for (const auto& run : runs) {
                    cut_stretch(j, widest, piece.start + std::uint64_t {row} * piece.stride + run.offset, done, run.length);
                    done += run.length;
                }
        } else {
            const auto& shape = shape_of(piece);
            for (std::uint64_t done = 0; done < size; done += tile_elements) {
                work_tile t;
                t.start = piece.start + done / per_row * piece.stride + shape.first;
                t.within = static_cast<std::uint32_t>(done % per_row);
                t.packed = j.packed + done;
                t.count = static_cast<std::uint32_t>(std::min<std::uint64_t>(tile_elements, size - done));
                t.shape = shape.number;
                add(j, t, widest, t.start | t.within | shape.alignment | (piece.rows > 1 ? piece.stride : 0));
            }
        }
    }

    void cut_stretch(const job& j, std::uint32_t widest, std::uint64_t start, std::uint64_t first, std::uint64_t size)
    {
        for (std::uint64_t done = 0; done < size; done += tile_elements) {
            work_tile t;
            t.start = start + done;
            t.packed = j.packed + first + done;
            t.count = static_cast<std::uint32_t>(std::min<std::uint64_t>(tile_elements, size - done));
            t.shape = plain_shape();
            add(j, t, widest, t.start);
        }
    }

    /// Adds a tile, or two if the last elements do not fill what moves at a time.
    void add(const job& j, work_tile t, std::uint32_t widest, std::uint64_t alignment)
    {
        alignment |= t.packed | j.others;
        std::uint32_t width = widest;
        while (width > 1 && alignment % width != 0)
            width /= 2;
        t.group = j.group;
        t.tensor = j.tensor;
        t.width = static_cast<std::uint16_t>(width);
        const std::uint32_t rest = t.count % width;
        const std::uint32_t whole = t.count - rest;
        if (whole > 0) {
            t.count = whole;
            tiles_.push_back(t);
        }
        if (rest > 0) {
            t.count = rest;
            t.within += whole; // the row is found from there
            if (t.shape == plain_) {
                t.within = 0;
                t.start += whole;
            }
            t.packed += whole;
            t.width = 1;
            tiles_.push_back(t);
        }
    }

    [[nodiscard]] std::uint32_t plain_shape()
    {
        if (plain_ == none) {
            plain_ = static_cast<std::uint32_t>(shapes_.size());
            row_shape s;
            s.per_row = s.length = divider(std::numeric_limits<std::int32_t>::max());
            shapes_.push_back(s);
        }
        return plain_;
    }

    [[nodiscard]] const known_shape& shape_of(const overlap_piece& piece)
    {
        const auto [at, fresh] = known_.try_emplace({piece.pattern, piece.stride});
        if (!fresh)
            return at->second;
        auto& known = at->second;
        known.number = static_cast<std::uint32_t>(shapes_.size());
        const auto runs = plan_->runs_of(piece);
        row_shape s;
        s.per_row = divider(static_cast<std::uint32_t>(plan_->patterns[piece.pattern].elements));
        s.row_step = piece.stride;
        const std::uint64_t length = runs[0].length, step = runs.size() > 1 ? runs[1].offset - runs[0].offset : length;
        bool alike = true;
        for (std::size_t i = 0; i < runs.size(); ++i)
            alike = alike && runs[i].length == length && runs[i].offset == runs[0].offset + i * step;
        alike = alike && step - length <= std::numeric_limits<std::uint32_t>::max();
        if (alike) {
            s.length = divider(static_cast<std::uint32_t>(length));
            s.gap = static_cast<std::uint32_t>(step - length);
            known.first = runs[0].offset;
            known.alignment = length | step;
        } else {
            s.first_run = static_cast<std::uint32_t>(runs_.size());
            s.runs = static_cast<std::uint32_t>(runs.size());
            std::uint64_t before = 0;
            for (const auto& run : runs) {
                runs_.push_back({run.offset, before});
                before += run.length;
                known.alignment |= run.offset | run.length;
            }
        }
        shapes_.push_back(s);
        return known;
    }

    static constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();

    const overlap_plan* plan_;
    std::vector<work_tile> tiles_;
    std::vector<row_shape> shapes_;
    std::vector<listed_run> runs_;
    std::uint32_t plain_ = none;
    std::map<std::pair<std::uint32_t, std::uint32_t>, known_shape> known_; ///< by pattern and stride
};

} // namespace sdp::detail
