// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Cuts pieces of a plan into tiles.

#include <sdp/detail/stream/tile_shapes.hpp>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace sdp::detail {

/// Tiles in the list of all tiles.
struct tile_range {
    std::size_t first = 0, count = 0;
};

/// Elements that move at a time where all places are multiples of these numbers, or-ed.
[[nodiscard]] inline std::uint32_t width_of(std::uint32_t widest, std::uint64_t places) noexcept
{
    while (widest > 1 && places % widest != 0)
        widest /= 2;
    return widest;
}

class tile_cutter {
public:
    /// A piece that the cutter has not finished.
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
        const auto widest = static_cast<std::uint32_t>(16 / (std::max)(size_of(type), packed_size));
        const std::size_t first = tiles_.size();
        for (const auto& j : jobs) {
            std::uint64_t done = 0;
            shapes_.split(*plan_, *j.piece, [&](const shaped_rows& rows) {
                cut(j, rows, j.packed + done, widest);
                done += rows.count;
            });
        }
        return {first, tiles_.size() - first};
    }

    [[nodiscard]] const std::vector<tiles::work_tile>& tiles() const noexcept { return tiles_; }
    [[nodiscard]] const std::vector<tiles::row_shape>& shapes() const noexcept { return shapes_.shapes(); }
    [[nodiscard]] const std::vector<tiles::listed_run>& runs() const noexcept { return shapes_.runs(); }

private:
    void cut(const job& j, const shaped_rows& rows, std::uint64_t packed, std::uint32_t widest)
    {
        for (std::uint64_t done = 0; done < rows.count; done += tiles::tile_elements) {
            const auto count = std::min<std::uint64_t>(tiles::tile_elements, rows.count - done);
            const auto part = shapes_.part(rows, done, count);
            const auto width = width_of(widest, part.alignment | part.start | part.within | (packed + done) | j.others);
            // Two tiles if the last elements do not fill what moves at a time.
            const auto whole = count - count % width;
            add(j, shapes_.part(rows, done, whole), packed + done, width);
            add(j, shapes_.part(rows, done + whole, count - whole), packed + done + whole, 1);
        }
    }

    void add(const job& j, const shaped_rows& rows, std::uint64_t packed, std::uint32_t width)
    {
        if (rows.count == 0)
            return;
        tiles::work_tile t;
        t.start = rows.start;
        t.within = rows.within;
        t.count = static_cast<std::uint32_t>(rows.count);
        t.shape = rows.shape;
        t.packed = packed;
        t.group = j.group;
        t.tensor = j.tensor;
        t.width = static_cast<std::uint16_t>(width);
        tiles_.push_back(t);
    }

    const overlap_plan* plan_;
    std::vector<tiles::work_tile> tiles_;
    shape_list shapes_;
};

} // namespace sdp::detail
