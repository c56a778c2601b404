// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The sum over the trainers in rank order, a tile at a time, wherever each one's elements lie.

#include <sdp/detail/elements/local_tensor.hpp>

#include <algorithm>
#include <cmath>
#include <span>

namespace sdp::detail {

/// The elements of one trainer: consecutive ones that were packed, of type W, or pieces of a tensor of type T.
template <class T, class W> struct side {
    W* packed = nullptr;
    const local_tensor<T>* tensor = nullptr; ///< if nothing was packed
    piece_stream* in = nullptr; ///< where reading and
    piece_stream* out = nullptr; ///< writing have got to
    T weight = 1;
    bool written = true; ///< gets the mean
};

/// Sums the next `size` elements of all sides in the order given, which is rank order, divides once, and writes the mean to
/// the sides that are to get it. Elements are rounded to W on the way, also those that were not packed.
template <class T, class W> class reduction {
public:
    /// If `weighted`, every side counts with its weight, and one of weight 0 for nothing, not even as a NaN.
    void operator()(std::span<side<T, W>> sides, std::uint64_t size, bool weighted, T divisor)
    {
        // Exact either way, and many times faster than a division.
        int exponent = 0;
        const bool reciprocal = std::frexp(divisor, &exponent) == T(0.5) && exponent < 64;
        const T factor = reciprocal ? T(1) / divisor : T(1);
        for (std::uint64_t done = 0; done < size; done += tile) {
            const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(tile, size - done));
            bool first = true;
            for (auto& s : sides) {
                if (weighted && s.weight == 0) {
                    skip(s, n);
                    continue;
                }
                if (weighted) { // rare, so one more copy
                    load(s, n, weighted_);
                    weigh(s.weight, n, first);
                } else if (first) {
                    load(s, n, sum_);
                } else {
                    add(s, n);
                }
                first = false;
            }
            T* const sum = sum_;
            if (first)
                std::fill_n(sum, n, T(0));
            else if (reciprocal)
                for_each_index(n, [=](std::size_t i) { sum[i] = rounded<W>(sum[i] * factor); });
            else
                for_each_index(n, [=](std::size_t i) { sum[i] = rounded<W>(sum[i] / divisor); });
            for (auto& s : sides)
                if (s.written)
                    write(s, n);
                else if (s.packed != nullptr)
                    s.packed += n;
        }
    }

private:
    // Elements are read before any is written, so a packed side moves on only when it is written. Each of these is compiled once
    // for all callers: they work on a tile, beside which a call is nothing, and inlined they would take compilers minutes.
    [[gnu::noinline]] void load(side<T, W>& s, std::size_t n, T* to)
    {
        if (s.packed != nullptr) {
            copy_run(static_cast<const W*>(s.packed), n, to);
            return;
        }
        s.tensor->gather(*s.in, n, to);
        if constexpr (!std::is_same_v<T, W>)
            for_each_index(n, [=](std::size_t i) { to[i] = rounded<W>(to[i]); });
    }

    [[gnu::noinline]] void add(side<T, W>& s, std::size_t n)
    {
        T* sum = sum_;
        if (s.packed != nullptr) {
            add_run(static_cast<const W*>(s.packed), n, sum);
            return;
        }
        auto* at = &sum;
        s.tensor->for_each_stretch_ahead(*s.in, n, [at](const T* from, index_t step, std::size_t count) {
            if (step == 1)
                add_run(from, count, *at);
            else
                for (std::size_t i = 0; i < count; ++i)
                    (*at)[i] += rounded<W>(from[static_cast<index_t>(i) * step]);
            *at += count;
        });
    }

    template <class From> static void add_run(const From* __restrict from, std::size_t n, T* __restrict sum)
    {
        for_each_index(n, [=](std::size_t i) {
            if constexpr (std::is_same_v<From, W>)
                sum[i] += convert<T>(from[i]);
            else
                sum[i] += rounded<W>(from[i]);
        });
    }

    [[gnu::noinline]] void weigh(T weight, std::size_t n, bool first)
    {
        for (std::size_t i = 0; i < n; ++i)
            sum_[i] = first ? weight * weighted_[i] : sum_[i] + weight * weighted_[i];
    }

    [[gnu::noinline]] void skip(side<T, W>& s, std::size_t n)
    {
        if (s.packed == nullptr)
            s.tensor->for_each_stretch(*s.in, n, [](const T*, index_t, std::size_t) {});
    }

    [[gnu::noinline]] void write(side<T, W>& s, std::size_t n)
    {
        if (s.packed != nullptr) {
            copy_run(static_cast<const T*>(sum_), n, s.packed);
            s.packed += n;
        } else {
            s.tensor->scatter(*s.out, n, sum_);
        }
    }

    alignas(64) T sum_[tile];
    alignas(64) T weighted_[tile];
};

} // namespace sdp::detail
