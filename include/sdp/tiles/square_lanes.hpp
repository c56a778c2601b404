// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Fixes the order in which squares are summed: host and device use the same one.

#include <cstdint>

namespace sdp::tiles {

/// Upper bound on the elements of a tile.
inline constexpr std::uint32_t tile_elements = 4096;

/// The threads that share a tile; thread i takes the elements i, i + `square_lanes` and so on.
inline constexpr std::uint32_t square_lanes = 32;

/// Adds the sums of the lanes by halving.
[[nodiscard]] inline double add_lanes(double (&sums)[square_lanes]) noexcept
{
    for (std::uint32_t half = square_lanes / 2; half > 0; half /= 2)
        for (std::uint32_t lane = 0; lane < half; ++lane)
            sums[lane] += sums[lane + half];
    return sums[0];
}

} // namespace sdp::tiles
