// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The reduction on the host: sums the trainers' elements in rank order, a tile at a time, packed or in their tensors.

#include <sdp/detail/elements/local_tensor.hpp>

#include <algorithm>
#include <cmath>
#include <span>

namespace sdp::detail {

/// A side of a sum, one trainer's elements: packed ones of type W, or pieces of a tensor of type T.
template <class T, class W> struct side {
    W* packed = nullptr;
    const local_tensor<T>* tensor = nullptr; ///< null for packed elements
    piece_stream* in = nullptr; ///< position of reading
    piece_stream* out = nullptr; ///< position of writing
    T weight = 1;
    bool written = true; ///< receives the mean
};

/// Sums the next `size` elements of all sides in the given order, which is rank order, divides once, and writes the mean to the
/// sides that receive it. Rounds all elements to W first, including those that were not packed.
template <class T, class W> class reduction {
public:
    /// If `weighted`, multiplies each side by its weight; a side of weight 0 adds nothing, not even a NaN.
    void operator()(std::span<side<T, W>> sides, std::uint64_t size, bool weighted, T divisor)
    {
        // A power of two divides exactly by multiplication, which is many times faster than division.
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
                if (weighted) { // rare, so another copy is affordable
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
    // All elements are read before any is written, so a packed side advances only when it is written. Each of these functions is
    // compiled once for all callers: a call costs nothing beside its work on a tile, and inlining would cost compilers minutes.
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
