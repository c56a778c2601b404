// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Tiles: the exchange's work on elements, divided for many threads at once.
///
/// A tile is a number of consecutive elements, in packed order, of one piece of the plan; on a device, one block works on it.
/// tile_bodies.hpp has the operations on a tile.

#include <sdp/tensor.hpp>
#include <sdp/tiles/half.hpp>
#include <sdp/tiles/square_lanes.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace sdp::tiles {

/// Divides numbers below 2³¹ by a fixed number, with a multiplication and a shift.
struct divider {
    std::uint32_t divisor = 1, factor = 0, shift = 0;

    divider() = default;
    explicit divider(std::uint32_t d)
        : divisor(d)
    {
        while ((std::uint64_t {1} << shift) < d)
            ++shift;
        factor = static_cast<std::uint32_t>(((std::uint64_t {1} << 32) * ((std::uint64_t {1} << shift) - d)) / d + 1);
    }

    [[nodiscard]] SDP_HOST_DEVICE std::uint32_t operator()(std::uint32_t x) const noexcept
    {
        const auto high = static_cast<std::uint32_t>(std::uint64_t {factor} * x >> 32);
        return (high + x) >> shift;
    }
};

/// The layout of the rows of a pattern: runs of one length at a constant distance, or a list of runs.
struct row_shape {
    divider per_row; ///< elements of a row
    divider length; ///< of a run
    std::uint32_t gap = 0; ///< from the end of a run to the next
    std::uint32_t row_step = 0; ///< elements of the tensor from one row to the next
    std::uint32_t first_run = 0, runs = 0; ///< in the list of runs; 0 runs if all runs are alike
};

/// A run in a list of runs.
struct listed_run {
    std::uint64_t offset = 0; ///< from the start of the row
    std::uint64_t before = 0; ///< elements of the row in earlier runs
};

/// A tile: elements of one piece. 40 bytes for up to `tile_elements` of them.
struct work_tile {
    std::uint64_t start = 0; ///< position of its first row in the tensor
    std::uint64_t packed = 0; ///< position among packed elements: in the buffer, or, for a sum, in the piece of its group
    std::uint32_t count = 0;
    std::uint32_t within = 0; ///< elements of its first row before the tile
    std::uint32_t shape = 0; ///< index into the shapes
    std::uint32_t group = 0; ///< index into the sum groups, or the sharing class whose divisor applies to a native sum
    std::uint16_t tensor = 0; ///< index into the bucket's tensors
    std::uint16_t width = 1; ///< elements moved at a time
};

/// A sum group: all trainers' elements of one piece, which are summed.
struct sum_group {
    std::uint32_t first_side = 0, sides = 0;
    std::uint32_t sharing_class = 0;
};

/// A side of a sum: one trainer's elements of a piece.
struct sum_side {
    static constexpr std::uint64_t own_tensor = ~std::uint64_t {0};

    std::uint64_t at = own_tensor; ///< position in the buffer, in bytes
    std::uint32_t rank = 0;
    bool written = false; ///< receives the mean
};

/// A side in its own tensor: one trainer's elements of a piece in a tensor that the owner reaches.
struct tensor_side {
    std::uint64_t start = 0; ///< as of `shaped_rows`
    std::uint32_t within = 0, shape = 0;
    std::uint32_t place = 0; ///< index into the addresses of tensors
    std::uint32_t rank = 0;
    bool written = false; ///< receives the mean
};

/// The scale of the sums of one class in a step.
struct class_scale {
    double divisor = 1; ///< 0 if no trainer has a positive weight
    double weight_scale = 1; ///< factor of the ranks' weights
};

/// Largest number of tensors in one bucket.
inline constexpr std::size_t most_tensors = 256;

/// Arguments that all tiles of one launch share.
struct tile_job {
    const work_tile* tiles = nullptr;
    const row_shape* shapes = nullptr;
    const listed_run* runs = nullptr;
    const sum_group* groups = nullptr;
    const sum_side* sides = nullptr;
    const tensor_side* tensor_sides = nullptr; ///< replaces `sides` for sums in tensors
    void* const* places = nullptr; ///< addresses of those tensors
    const class_scale* scales = nullptr; ///< by class
    const double* weights = nullptr; ///< by rank; null for the plain mean
    std::byte* buffer = nullptr;
    double* results = nullptr; ///< by tile, for sums of squares
    std::uint32_t count = 0; ///< of tiles
    int rank = 0;
    std::uint32_t alignment = 16; ///< of all tensors, in bytes; at most 16
    void* tensors[most_tensors] = {};
};

/// The largest alignment, a power of two, that `alignment` and `address` have in common.
[[nodiscard]] inline std::uint32_t common_alignment(std::uint32_t alignment, const void* address) noexcept
{
    const auto bits = reinterpret_cast<std::uintptr_t>(address) | alignment;
    return static_cast<std::uint32_t>(bits & (~bits + 1));
}

/// Calls `f` with a value of the C++ type of a tensor's elements and one of the wire's type: the same, or a rounded f32.
template <class F> void with_tile_types(element_type type, element_type wire, F f)
{
    if (type == element_type::f64)
        f(double {}, double {});
    else if (type == element_type::bf16)
        f(bf16_bits {}, bf16_bits {});
    else if (type == element_type::f16)
        f(f16_bits {}, f16_bits {});
    else if (wire == element_type::bf16)
        f(float {}, bf16_bits {});
    else if (wire == element_type::f16)
        f(float {}, f16_bits {});
    else
        f(float {}, float {});
}

/// The position in a tensor of the `x`-th element of rows that begin at `start`.
[[nodiscard]] SDP_HOST_DEVICE inline std::uint64_t place_in(
    const listed_run* all_runs, const row_shape& s, std::uint64_t start, std::uint32_t x) noexcept
{
    const std::uint32_t row = s.per_row(x);
    const std::uint32_t in_row = x - row * s.per_row.divisor;
    start += std::uint64_t {row} * s.row_step;
    if (s.runs == 0)
        return start + in_row + std::uint64_t {s.length(in_row)} * s.gap;
    const listed_run* const runs = all_runs + s.first_run;
    std::uint32_t low = 0, high = s.runs; // finds the last run that begins at or before the element
    while (high - low > 1) {
        const std::uint32_t middle = (low + high) / 2;
        (runs[middle].before <= in_row ? low : high) = middle;
    }
    return start + runs[low].offset + (in_row - runs[low].before);
}

/// Positions of a tile's elements in its tensor. Copies the tile and its shape: the compiler cannot know that writes of elements
/// leave these unchanged, and a device would read them again after each write.
struct tile_rows {
    SDP_HOST_DEVICE tile_rows(const tile_job& job, const work_tile& t) noexcept
        : shape(job.shapes[t.shape])
        , runs(job.runs)
        , start(t.start)
        , within(t.within)
    {
    }

    /// The position in the tensor of the `i`-th element of the tile.
    [[nodiscard]] SDP_HOST_DEVICE std::uint64_t operator()(std::uint32_t i) const noexcept
    {
        return place_in(runs, shape, start, within + i);
    }

    row_shape shape;
    const listed_run* runs;
    std::uint64_t start;
    std::uint32_t within;
};

} // namespace sdp::tiles
