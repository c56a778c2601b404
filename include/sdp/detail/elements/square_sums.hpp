// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Sums of squares of a piece, in the order that a device uses too.

#include <sdp/detail/elements/local_tensor.hpp>
#include <sdp/tiles/square_lanes.hpp>

#include <algorithm>
#include <cstdint>

namespace sdp::detail {

/// Calls `visit(sum)` with the sum of squares of each `tile_elements` of a piece, in the order that a device uses too.
template <class T, class Visit>
void for_each_square_sum(const overlap_plan& plan, const overlap_piece& piece, const local_tensor<T>& own, Visit visit)
{
    T values[tiles::tile_elements];
    piece_walker walker(plan, piece);
    const std::uint64_t size = plan.size_of(piece);
    for (std::uint64_t done = 0; done < size; done += tiles::tile_elements) {
        const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(tiles::tile_elements, size - done));
        own.gather(walker, n, values);
        double sums[tiles::square_lanes] = {};
        std::size_t i = 0;
        for (; i + tiles::square_lanes <= n; i += tiles::square_lanes)
            for (std::size_t lane = 0; lane < tiles::square_lanes; ++lane)
                sums[lane] += static_cast<double>(values[i + lane]) * static_cast<double>(values[i + lane]);
        for (std::size_t lane = 0; i + lane < n; ++lane)
            sums[lane] += static_cast<double>(values[i + lane]) * static_cast<double>(values[i + lane]);
        visit(tiles::add_lanes(sums));
    }
}

} // namespace sdp::detail
