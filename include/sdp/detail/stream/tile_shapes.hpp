// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Pieces of a plan as rows of a shape, by which a tile finds its elements in a tensor.

#include <sdp/overlap/plan.hpp>
#include <sdp/tiles/tile.hpp>

#include <cstdint>
#include <limits>
#include <map>
#include <utility>
#include <vector>

namespace sdp::detail {

/// Elements of a tensor, in packed order, whose place one shape describes.
struct shaped_rows {
    std::uint64_t start = 0; ///< where the first row begins in the tensor
    std::uint64_t count = 0; ///< of elements
    std::uint64_t alignment = 0; ///< offsets, lengths and steps, or-ed: how many elements move at a time
    std::uint32_t within = 0; ///< elements of the first row that come before
    std::uint32_t shape = 0;
};

class shape_list {
public:
    static constexpr std::uint32_t plain = 0; ///< one stretch, of any length
    static constexpr std::uint64_t most = std::uint64_t {1} << 30; ///< elements of a row that is walked as one

    shape_list()
    {
        tiles::row_shape s;
        s.per_row = s.length = tiles::divider((std::numeric_limits<std::int32_t>::max)());
        shapes_.push_back(s);
    }
    /// As another worker has sent them.
    shape_list(std::vector<tiles::row_shape> shapes, std::vector<tiles::listed_run> runs)
        : shapes_(std::move(shapes))
        , runs_(std::move(runs))
    {
    }

    [[nodiscard]] const std::vector<tiles::row_shape>& shapes() const noexcept { return shapes_; }
    [[nodiscard]] const std::vector<tiles::listed_run>& runs() const noexcept { return runs_; }

    /// Calls `f(rows)` for the elements of a piece, in packed order. Always pieces of the same plan.
    template <class F> void split(const overlap_plan& plan, const overlap_piece& piece, F f)
    {
        const auto runs = plan.runs_of(piece);
        if (runs.size() == 1 && (piece.rows == 1 || runs[0].length == piece.stride)) {
            f(shaped_rows {piece.start + runs[0].offset, plan.size_of(piece), 0, 0, plain});
        } else if (plan.patterns[piece.pattern].elements >= most) {
            for (std::uint32_t row = 0; row < piece.rows; ++row)
                for (const auto& run : runs)
                    f(shaped_rows {piece.start + std::uint64_t {row} * piece.stride + run.offset, run.length, 0, 0, plain});
        } else {
            const auto& known = shape_of(plan, piece);
            f(shaped_rows {piece.start + known.first, plan.size_of(piece), known.alignment | (piece.rows > 1 ? piece.stride : 0),
                0, known.number});
        }
    }

    /// Some consecutive ones of them.
    [[nodiscard]] shaped_rows part(const shaped_rows& rows, std::uint64_t first, std::uint64_t count) const noexcept
    {
        auto out = rows;
        out.count = count;
        if (rows.shape == plain) {
            out.start += first;
        } else {
            const auto& s = shapes_[rows.shape];
            const std::uint64_t before = rows.within + first;
            out.start += before / s.per_row.divisor * s.row_step;
            out.within = static_cast<std::uint32_t>(before % s.per_row.divisor);
        }
        return out;
    }

    /// Adds all shapes of another list; returns what their numbers grow by.
    std::uint32_t append(const shape_list& other)
    {
        const auto base = static_cast<std::uint32_t>(shapes_.size());
        for (auto s : other.shapes_) {
            s.first_run += static_cast<std::uint32_t>(runs_.size());
            shapes_.push_back(s);
        }
        runs_.insert(runs_.end(), other.runs_.begin(), other.runs_.end());
        return base;
    }

private:
    struct known_shape {
        std::uint32_t number = 0;
        std::uint64_t first = 0; ///< offset of the first run, if runs are alike
        std::uint64_t alignment = 0; ///< offsets and lengths, or-ed
    };

    [[nodiscard]] const known_shape& shape_of(const overlap_plan& plan, const overlap_piece& piece)
    {
        const auto [at, fresh] = known_.try_emplace({piece.pattern, piece.stride});
        if (!fresh)
            return at->second;
        auto& known = at->second;
        known.number = static_cast<std::uint32_t>(shapes_.size());
        const auto runs = plan.runs_of(piece);
        tiles::row_shape s;
        s.per_row = tiles::divider(static_cast<std::uint32_t>(plan.patterns[piece.pattern].elements));
        s.row_step = piece.stride;
        const std::uint64_t length = runs[0].length, step = runs.size() > 1 ? runs[1].offset - runs[0].offset : length;
        bool alike = true;
        for (std::size_t i = 0; i < runs.size(); ++i)
            alike = alike && runs[i].length == length && runs[i].offset == runs[0].offset + i * step;
        alike = alike && step - length <= (std::numeric_limits<std::uint32_t>::max)();
        if (alike) {
            s.length = tiles::divider(static_cast<std::uint32_t>(length));
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

    std::vector<tiles::row_shape> shapes_;
    std::vector<tiles::listed_run> runs_;
    std::map<std::pair<std::uint32_t, std::uint32_t>, known_shape> known_; ///< by pattern and stride
};

} // namespace sdp::detail
