// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The exchange's work on elements cut into tiles that many threads do at once, and what one thread does of one tile.
///
/// For a device, where a tile is one block's work, and for tests, which run the same bodies on the host. A tile is some
/// consecutive elements, in packed order, of one piece of the plan. Sums have the bits of `reduction`: the sides one after the
/// other in rank order, no fused multiply-add, one rounding at the end.

#include <sdp/detail/half.hpp>
#include <sdp/tensor.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace sdp::detail {

/// Divides numbers below 2³¹ by one that stays, without a division.
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

/// How the rows of a pattern look: runs of one length, a constant step apart, or a list of runs.
struct row_shape {
    divider per_row; ///< elements of a row
    divider length; ///< of a run
    std::uint32_t gap = 0; ///< from the end of a run to the next
    std::uint32_t row_step = 0; ///< elements of the tensor from one row to the next
    std::uint32_t first_run = 0, runs = 0; ///< in the list; none where runs are alike
};

/// A run in a list of runs.
struct listed_run {
    std::uint64_t offset = 0; ///< from the start of the row
    std::uint64_t before = 0; ///< elements of the row in the runs before
};

/// Elements of one piece. 40 bytes for up to `tile_elements` of them.
struct work_tile {
    std::uint64_t start = 0; ///< where its first row begins in the tensor
    std::uint64_t packed = 0; ///< where it begins among packed elements: in the buffer, or, of a sum, in the piece
    std::uint32_t count = 0;
    std::uint32_t within = 0; ///< elements of its first row that come before it
    std::uint32_t shape = 0; ///< index into the shapes
    std::uint32_t group = 0; ///< index into what is summed, or the class that a native sum is divided for
    std::uint16_t tensor = 0; ///< index into the bucket's tensors
    std::uint16_t width = 1; ///< elements that move at a time
};
inline constexpr std::uint32_t tile_elements = 4096;

/// What is summed to one piece.
struct sum_group {
    std::uint32_t first_side = 0, sides = 0;
    std::uint32_t holder_class = 0;
};

/// One trainer's elements of a piece.
struct sum_side {
    static constexpr std::uint64_t own_tensor = ~std::uint64_t {0};

    std::uint64_t at = own_tensor; ///< where they begin in the buffer, in bytes
    std::uint32_t rank = 0;
    bool written = false; ///< gets the mean
};

/// The scale of the sums of one class in a step.
struct class_scale {
    double divisor = 1; ///< 0 where nobody counts
    double weight_scale = 1; ///< what the ranks' weights are multiplied by
};

/// Most tensors of one bucket.
inline constexpr std::size_t most_tensors = 256;

/// What all tiles of one launch share.
struct tile_job {
    const work_tile* tiles = nullptr;
    const row_shape* shapes = nullptr;
    const listed_run* runs = nullptr;
    const sum_group* groups = nullptr;
    const sum_side* sides = nullptr;
    const class_scale* scales = nullptr; ///< by class
    const double* weights = nullptr; ///< by rank; null for the plain mean
    std::byte* buffer = nullptr;
    double* results = nullptr; ///< by tile, of sums of squares
    std::uint32_t count = 0; ///< of tiles
    int rank = 0;
    bool wide = true; ///< all tensors are aligned to 16 bytes
    void* tensors[most_tensors] = {};
};

/// What sums are in.
template <class T> struct sum_of {
    using type = T;
};
template <> struct sum_of<bf16_bits> {
    using type = float;
};
template <> struct sum_of<f16_bits> {
    using type = float;
};

/// Calls `f` with a value of the C++ type of a tensor's elements, and one of what travels: the same, or a rounded f32.
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

/// Some elements that are read or written at once.
template <class T, int width> struct alignas(sizeof(T) * width) several {
    T of[width];

    SDP_HOST_DEVICE static several read(const T* from) noexcept
    {
#ifdef __CUDA_ARCH__
        return *reinterpret_cast<const several*>(from);
#else
        several out;
        for (int i = 0; i < width; ++i)
            out.of[i] = from[i];
        return out;
#endif
    }
    SDP_HOST_DEVICE void write(T* to) const noexcept
    {
#ifdef __CUDA_ARCH__
        *reinterpret_cast<several*>(to) = *this;
#else
        for (int i = 0; i < width; ++i)
            to[i] = of[i];
#endif
    }
};

// A compiler for a device makes one fused operation of a product and a sum, which rounds once where the host rounds twice.
[[nodiscard]] SDP_HOST_DEVICE inline float times(float a, float b) noexcept
{
#ifdef __CUDA_ARCH__
    return __fmul_rn(a, b);
#else
    return a * b;
#endif
}
[[nodiscard]] SDP_HOST_DEVICE inline double times(double a, double b) noexcept
{
#ifdef __CUDA_ARCH__
    return __dmul_rn(a, b);
#else
    return a * b;
#endif
}
[[nodiscard]] SDP_HOST_DEVICE inline float plus(float a, float b) noexcept
{
#ifdef __CUDA_ARCH__
    return __fadd_rn(a, b);
#else
    return a + b;
#endif
}
[[nodiscard]] SDP_HOST_DEVICE inline double plus(double a, double b) noexcept
{
#ifdef __CUDA_ARCH__
    return __dadd_rn(a, b);
#else
    return a + b;
#endif
}
[[nodiscard]] SDP_HOST_DEVICE inline float over(float a, float b) noexcept
{
#ifdef __CUDA_ARCH__
    return __fdiv_rn(a, b);
#else
    return a / b;
#endif
}
[[nodiscard]] SDP_HOST_DEVICE inline double over(double a, double b) noexcept
{
#ifdef __CUDA_ARCH__
    return __ddiv_rn(a, b);
#else
    return a / b;
#endif
}

/// Where in the tensor the `i`-th element of a tile is.
[[nodiscard]] SDP_HOST_DEVICE inline std::uint64_t place_of(const tile_job& job, const work_tile& t, std::uint32_t i) noexcept
{
    const row_shape& s = job.shapes[t.shape];
    const std::uint32_t x = t.within + i;
    const std::uint32_t row = s.per_row(x);
    const std::uint32_t in_row = x - row * s.per_row.divisor;
    const std::uint64_t start = t.start + std::uint64_t {row} * s.row_step;
    if (s.runs == 0)
        return start + in_row + std::uint64_t {s.length(in_row)} * s.gap;
    const listed_run* const runs = job.runs + s.first_run;
    std::uint32_t low = 0, high = s.runs; // the last run that begins at or before it
    while (high - low > 1) {
        const std::uint32_t middle = (low + high) / 2;
        (runs[middle].before <= in_row ? low : high) = middle;
    }
    return start + runs[low].offset + (in_row - runs[low].before);
}

/// Calls `f.template operator()<width>(i)` for the thread's share of a tile, `i` being the first of `width` elements.
template <class F>
SDP_HOST_DEVICE inline void for_each_share(
    const tile_job& job, const work_tile& t, std::uint32_t thread, std::uint32_t threads, F f)
{
    switch (job.wide ? t.width : 1) {
    case 8:
        for (std::uint32_t i = thread * 8; i < t.count; i += threads * 8)
            f.template operator()<8>(i);
        break;
    case 4:
        for (std::uint32_t i = thread * 4; i < t.count; i += threads * 4)
            f.template operator()<4>(i);
        break;
    case 2:
        for (std::uint32_t i = thread * 2; i < t.count; i += threads * 2)
            f.template operator()<2>(i);
        break;
    default:
        for (std::uint32_t i = thread; i < t.count; i += threads)
            f.template operator()<1>(i);
    }
}

/// Copies elements of type T to packed ones of type W, weighted if a transport is to sum them.
template <class T, class W> struct pack_body {
    bool weighted = false;

    SDP_HOST_DEVICE void operator()(const tile_job& job, const work_tile& t, std::uint32_t thread, std::uint32_t threads) const
    {
        const T* const from = static_cast<const T*>(job.tensors[t.tensor]);
        W* const to = reinterpret_cast<W*>(job.buffer) + t.packed;
        using S = typename sum_of<T>::type;
        const bool weigh = weighted && job.weights != nullptr;
        const S weight = weigh ? static_cast<S>(job.weights[job.rank] * job.scales[t.group].weight_scale) : S(1);
        for_each_share(job, t, thread, threads, [&]<int width>(std::uint32_t i) {
            const auto in = several<T, width>::read(from + place_of(job, t, i));
            several<W, width> out;
            for (int j = 0; j < width; ++j)
                out.of[j] = weigh ? (weight == 0 ? convert<W>(S(0)) : convert<W>(times(convert<S>(in.of[j]), weight)))
                                  : convert<W>(convert<S>(in.of[j]));
            out.write(to + i);
        });
    }
};

/// The way back; what a transport has summed is divided on the way.
template <class T, class W> struct unpack_body {
    bool divided = false;

    SDP_HOST_DEVICE void operator()(const tile_job& job, const work_tile& t, std::uint32_t thread, std::uint32_t threads) const
    {
        T* const to = static_cast<T*>(job.tensors[t.tensor]);
        const W* const from = reinterpret_cast<const W*>(job.buffer) + t.packed;
        using S = typename sum_of<T>::type;
        const S divisor = divided ? static_cast<S>(job.scales[t.group].divisor) : S(1);
        for_each_share(job, t, thread, threads, [&]<int width>(std::uint32_t i) {
            const auto in = several<W, width>::read(from + i);
            several<T, width> out;
            for (int j = 0; j < width; ++j) {
                const S x = convert<S>(in.of[j]);
                out.of[j] = convert<T>(!divided ? x : divisor == 0 ? S(0) : over(x, divisor));
            }
            out.write(to + place_of(job, t, i));
        });
    }
};

/// Sums the sides of a piece in rank order, divides once, and writes the mean to this worker's tensor and to the sides that get
/// it.
template <class T, class W> struct reduce_body {
    SDP_HOST_DEVICE void operator()(const tile_job& job, const work_tile& t, std::uint32_t thread, std::uint32_t threads) const
    {
        using S = typename sum_of<T>::type;
        T* const own = static_cast<T*>(job.tensors[t.tensor]);
        const sum_group& group = job.groups[t.group];
        const sum_side* const sides = job.sides + group.first_side;
        const class_scale& scale = job.scales[group.holder_class];
        const S divisor = static_cast<S>(scale.divisor);
        for_each_share(job, t, thread, threads, [&]<int width>(std::uint32_t i) {
            const std::uint64_t at = place_of(job, t, i);
            several<S, width> sum {};
            bool first = true;
            for (std::uint32_t s = 0; s < group.sides; ++s) {
                S weight(1);
                if (job.weights != nullptr) {
                    weight = static_cast<S>(job.weights[sides[s].rank] * scale.weight_scale);
                    if (weight == 0) // counts for nothing, not even as a NaN
                        continue;
                }
                several<S, width> in;
                if (sides[s].at == sum_side::own_tensor) {
                    const auto raw = several<T, width>::read(own + at);
                    for (int j = 0; j < width; ++j)
                        in.of[j] = rounded<W>(convert<S>(raw.of[j]));
                } else {
                    const auto raw = several<W, width>::read(reinterpret_cast<const W*>(job.buffer + sides[s].at) + t.packed + i);
                    for (int j = 0; j < width; ++j)
                        in.of[j] = convert<S>(raw.of[j]);
                }
                for (int j = 0; j < width; ++j) {
                    const S x = job.weights != nullptr ? times(weight, in.of[j]) : in.of[j];
                    sum.of[j] = first ? x : plus(sum.of[j], x);
                }
                first = false;
            }
            several<T, width> mean;
            several<W, width> packed;
            for (int j = 0; j < width; ++j) {
                packed.of[j] = convert<W>(first ? S(0) : over(sum.of[j], divisor));
                mean.of[j] = convert<T>(convert<S>(packed.of[j]));
            }
            for (std::uint32_t s = 0; s < group.sides; ++s) {
                if (!sides[s].written)
                    continue;
                if (sides[s].at == sum_side::own_tensor)
                    mean.write(own + at);
                else
                    packed.write(reinterpret_cast<W*>(job.buffer + sides[s].at) + t.packed + i);
            }
        });
    }
};

/// Sums of squares, in double. `square_lanes` threads share a tile, each taking every so many-th element, and their sums are
/// added by halves: so the order of the sum does not depend on who does it.
inline constexpr std::uint32_t square_lanes = 32;

template <class T> struct square_body {
    [[nodiscard]] SDP_HOST_DEVICE double operator()(const tile_job& job, const work_tile& t, std::uint32_t lane) const
    {
        const T* const from = static_cast<const T*>(job.tensors[t.tensor]);
        double sum = 0;
        for (std::uint32_t i = lane; i < t.count; i += square_lanes) {
            const double x = convert<typename sum_of<T>::type>(from[place_of(job, t, i)]);
            sum = plus(sum, times(x, x));
        }
        return sum;
    }
};

/// Adds the sums of the lanes, by halves.
[[nodiscard]] inline double add_lanes(double (&sums)[square_lanes]) noexcept
{
    for (std::uint32_t half = square_lanes / 2; half > 0; half /= 2)
        for (std::uint32_t lane = 0; lane < half; ++lane)
            sums[lane] += sums[lane + half];
    return sums[0];
}

} // namespace sdp::detail
