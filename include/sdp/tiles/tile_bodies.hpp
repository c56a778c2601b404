// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Tile bodies: the work of one of many threads on one tile, on a device or, in tests, on the host.
///
/// Sums have the bits of `reduction`: the sides one after the other in rank order, no fused multiply-add, one rounding at the
/// end.

#include <sdp/tiles/half.hpp>
#include <sdp/tiles/square_lanes.hpp>
#include <sdp/tiles/tile.hpp>

#include <cstddef>
#include <cstdint>

namespace sdp::tiles {

/// The type that sums of `T` are computed in.
template <class T> struct sum_of {
    using type = T;
};
template <> struct sum_of<bf16_bits> {
    using type = float;
};
template <> struct sum_of<f16_bits> {
    using type = float;
};

/// Some elements that are read or written at once.
template <class T, int width> struct alignas(sizeof(T) * width) several {
    T of[static_cast<std::size_t>(width)];

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

// A device compiler fuses a product and a sum into one operation, which rounds once where the host rounds twice.
template <class T> [[nodiscard]] SDP_HOST_DEVICE inline T times(T a, T b) noexcept
{
#ifdef __CUDA_ARCH__
    if constexpr (sizeof(T) == sizeof(float))
        return __fmul_rn(a, b);
    else
        return __dmul_rn(a, b);
#else
    return a * b;
#endif
}
template <class T> [[nodiscard]] SDP_HOST_DEVICE inline T plus(T a, T b) noexcept
{
#ifdef __CUDA_ARCH__
    if constexpr (sizeof(T) == sizeof(float))
        return __fadd_rn(a, b);
    else
        return __dadd_rn(a, b);
#else
    return a + b;
#endif
}
template <class T> [[nodiscard]] SDP_HOST_DEVICE inline T over(T a, T b) noexcept
{
#ifdef __CUDA_ARCH__
    if constexpr (sizeof(T) == sizeof(float))
        return __fdiv_rn(a, b);
    else
        return __ddiv_rn(a, b);
#else
    return a / b;
#endif
}

/// Calls `f.template operator()<width>(i)` for the thread's share of a tile, `i` being the first of `width` elements.
/// @tparam T the tensors' elements
template <class T, class F>
SDP_HOST_DEVICE inline void for_each_share(
    const tile_job& job, const work_tile& t, std::uint32_t thread, std::uint32_t threads, F f)
{
    const std::uint32_t widest = job.alignment / sizeof(T);
    switch (t.width < widest ? t.width : widest) {
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

/// Packs elements of type T as type W, and multiplies them by the worker's weight if the transport sums them.
template <class T, class W> struct pack_body {
    bool weighted = false;

    SDP_HOST_DEVICE void operator()(const tile_job& job, const work_tile& t, std::uint32_t thread, std::uint32_t threads) const
    {
        const T* const from = static_cast<const T*>(job.tensors[t.tensor]);
        W* const to = reinterpret_cast<W*>(job.buffer) + t.packed;
        using S = typename sum_of<T>::type;
        const bool weigh = weighted && job.weights != nullptr;
        const S weight = weigh ? static_cast<S>(job.weights[job.rank] * job.scales[t.group].weight_scale) : S(1);
        const tile_rows rows(job, t);
        for_each_share<T>(job, t, thread, threads, [&]<int width>(std::uint32_t i) {
            const auto in = several<T, width>::read(from + rows(i));
            several<W, width> out;
            for (int j = 0; j < width; ++j)
                out.of[j] = weigh ? (weight == 0 ? convert<W>(S(0)) : convert<W>(times(convert<S>(in.of[j]), weight)))
                                  : convert<W>(convert<S>(in.of[j]));
            out.write(to + i);
        });
    }
};

/// Unpacks elements of type W to type T, and divides the transport's sums.
template <class T, class W> struct unpack_body {
    bool divided = false;

    SDP_HOST_DEVICE void operator()(const tile_job& job, const work_tile& t, std::uint32_t thread, std::uint32_t threads) const
    {
        T* const to = static_cast<T*>(job.tensors[t.tensor]);
        const W* const from = reinterpret_cast<const W*>(job.buffer) + t.packed;
        using S = typename sum_of<T>::type;
        const S divisor = divided ? static_cast<S>(job.scales[t.group].divisor) : S(1);
        const tile_rows rows(job, t);
        for_each_share<T>(job, t, thread, threads, [&]<int width>(std::uint32_t i) {
            const auto in = several<W, width>::read(from + i);
            several<T, width> out;
            for (int j = 0; j < width; ++j) {
                const S x = convert<S>(in.of[j]);
                out.of[j] = convert<T>(!divided ? x : divisor == 0 ? S(0) : over(x, divisor));
            }
            out.write(to + rows(i));
        });
    }
};

/// Sums some elements of all sides of a group in rank order, divides once, and writes the mean to the sides that receive it.
/// `read(side)` returns the elements in the wire's rounding, `write(side, mean)` stores the mean in the wire's rounding.
template <class T, class W, int width, class Side, class Read, class Write>
SDP_HOST_DEVICE inline void sum_sides(
    const double* weights, const class_scale& scale, std::uint32_t count, const Side* sides, Read read, Write write)
{
    using S = typename sum_of<T>::type;
    const S divisor = static_cast<S>(scale.divisor);
    several<S, width> sum {};
    bool first = true;
    for (std::uint32_t s = 0; s < count; ++s) {
        S weight(1);
        if (weights != nullptr) {
            weight = static_cast<S>(weights[sides[s].rank] * scale.weight_scale);
            if (weight == 0) // adds nothing, not even a NaN
                continue;
        }
        const several<S, width> in = read(sides[s]);
        for (int j = 0; j < width; ++j) {
            const S x = weights != nullptr ? times(weight, in.of[j]) : in.of[j];
            sum.of[j] = first ? x : plus(sum.of[j], x);
        }
        first = false;
    }
    several<W, width> mean;
    for (int j = 0; j < width; ++j)
        mean.of[j] = convert<W>(first ? S(0) : over(sum.of[j], divisor));
    for (std::uint32_t s = 0; s < count; ++s)
        if (sides[s].written)
            write(sides[s], mean);
}

/// Reads elements of a tensor in the wire's rounding.
template <class T, class W, int width>
[[nodiscard]] SDP_HOST_DEVICE inline several<typename sum_of<T>::type, width> read_rounded(const T* from) noexcept
{
    using S = typename sum_of<T>::type;
    const auto raw = several<T, width>::read(from);
    several<S, width> out;
    for (int j = 0; j < width; ++j)
        out.of[j] = rounded<W>(convert<S>(raw.of[j]));
    return out;
}

template <class To, class From, int width>
[[nodiscard]] SDP_HOST_DEVICE inline several<To, width> converted(const several<From, width>& from) noexcept
{
    several<To, width> out;
    for (int j = 0; j < width; ++j)
        out.of[j] = convert<To>(from.of[j]);
    return out;
}

/// Sums the elements in this worker's tensor and those received in the buffer.
template <class T, class W> struct reduce_body {
    SDP_HOST_DEVICE void operator()(const tile_job& job, const work_tile& t, std::uint32_t thread, std::uint32_t threads) const
    {
        using S = typename sum_of<T>::type;
        T* const own = static_cast<T*>(job.tensors[t.tensor]);
        const sum_group group = job.groups[t.group];
        const class_scale scale = job.scales[group.sharing_class];
        const tile_rows rows(job, t);
        for_each_share<T>(job, t, thread, threads, [&]<int width>(std::uint32_t i) {
            const std::uint64_t at = rows(i);
            const auto arrived = [&](const sum_side& side) { return reinterpret_cast<W*>(job.buffer + side.at) + t.packed + i; };
            sum_sides<T, W, width>(
                job.weights, scale, group.sides, job.sides + group.first_side,
                [&](const sum_side& side) {
                    if (side.at == sum_side::own_tensor)
                        return read_rounded<T, W, width>(own + at);
                    return converted<S>(several<W, width>::read(arrived(side)));
                },
                [&](const sum_side& side, const several<W, width>& mean) {
                    if (side.at == sum_side::own_tensor)
                        converted<T>(converted<S>(mean)).write(own + at);
                    else
                        mean.write(arrived(side));
                });
        });
    }
};

/// Sums the elements in the tensors of all trainers, and writes the mean there.
template <class T, class W> struct tensor_sum_body {
    SDP_HOST_DEVICE void operator()(const tile_job& job, const work_tile& t, std::uint32_t thread, std::uint32_t threads) const
    {
        using S = typename sum_of<T>::type;
        const sum_group group = job.groups[t.group];
        const class_scale scale = job.scales[group.sharing_class];
        for_each_share<T>(job, t, thread, threads, [&]<int width>(std::uint32_t i) {
            const auto x = static_cast<std::uint32_t>(t.packed) + i;
            const auto place = [&](const tensor_side& side) {
                return static_cast<T*>(job.places[side.place])
                    + place_in(job.runs, job.shapes[side.shape], side.start, side.within + x);
            };
            sum_sides<T, W, width>(
                job.weights, scale, group.sides, job.tensor_sides + group.first_side,
                [&](const tensor_side& side) { return read_rounded<T, W, width>(place(side)); },
                [&](const tensor_side& side, const several<W, width>& mean) {
                    converted<T>(converted<S>(mean)).write(place(side));
                });
        });
    }
};

/// Sums of squares, in double. `square_lanes` threads share a tile; lane i adds elements i, i + `square_lanes`, …, and the sums
/// of the lanes are added by halving. The order of the sum is therefore the same on every device and host.
template <class T> struct square_body {
    [[nodiscard]] SDP_HOST_DEVICE double operator()(const tile_job& job, const work_tile& t, std::uint32_t lane) const
    {
        const T* const from = static_cast<const T*>(job.tensors[t.tensor]);
        const tile_rows rows(job, t);
        double sum = 0;
        for (std::uint32_t i = lane; i < t.count; i += square_lanes) {
            const double x = convert<typename sum_of<T>::type>(from[rows(i)]);
            sum = plus(sum, times(x, x));
        }
        return sum;
    }
};

} // namespace sdp::tiles
