// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Local tensors and the loops over their elements: gather and scatter of strided pieces.
///
/// Runs are often short, down to a single element, so a short copy is inlined. Loops over many elements have a constant inner
/// count, which compilers vectorise even at -O2.

#include <sdp/detail/elements/piece_walker.hpp>
#include <sdp/detail/elements/wire.hpp>
#include <sdp/tensor.hpp>

#include <algorithm>
#include <cstring>
#include <type_traits>

namespace sdp::detail {

/// Prefetches the cache lines of some bytes, which may lie outside the tensor.
inline void prefetch([[maybe_unused]] const void* begin, [[maybe_unused]] std::size_t bytes) noexcept
{
#if defined(__GNUC__)
    for (std::size_t i = 0; i < bytes; i += 64)
        __builtin_prefetch(static_cast<const char*>(begin) + i);
#endif
}

/// Elements processed at a time; this many of each contributor fit in the first-level cache.
inline constexpr std::size_t tile = 1024;

/// Calls `f(i)` for 0 … n−1.
template <class F> inline void for_each_index(std::size_t n, F f)
{
    constexpr std::size_t block = 16;
    std::size_t i = 0;
    for (; i + block <= n; i += block)
        for (std::size_t j = 0; j < block; ++j)
            f(i + j);
    for (; i < n; ++i)
        f(i);
}

/// Copies a stretch. Most stretches are short, and a call of memcpy costs more than such a copy.
template <class From, class To> inline void copy_run(const From* __restrict from, std::size_t n, To* __restrict to) noexcept
{
    if constexpr (std::is_same_v<From, To>)
        if (n >= 512) {
            std::memcpy(to, from, n * sizeof(To));
            return;
        }
    for_each_index(n, [=](std::size_t i) { to[i] = convert<To>(from[i]); });
}

/// One local tensor of element type T, contiguous or not.
template <class T> class local_tensor {
public:
    local_tensor() = default;
    explicit local_tensor(const tensor_view& view)
        : data_(static_cast<T*>(view.data))
        , view_(&view)
        , contiguous_(view.contiguous())
    {
    }

    /// Calls `visit(place, step, count)` for stretches that together form the next `n` elements; `step` is 1 if the tensor is
    /// contiguous.
    template <class Walker, class Visit> void for_each_stretch(Walker& walker, std::size_t n, Visit visit) const
    {
        T* const data = data_;
        if (contiguous_)
            walker.advance(n, [=](std::uint64_t at, std::size_t length) mutable { visit(data + at, index_t {1}, length); });
        else
            walker.advance(n, [&](std::uint64_t at, std::size_t length) { for_each_line(at, length, visit); });
    }

    /// The same for distant stretches: prefetches the beginning of the next while it visits one.
    template <class Walker, class Visit> void for_each_stretch_ahead(Walker& walker, std::size_t n, Visit visit) const
    {
        T* const data = data_;
        if (contiguous_)
            walker.advance(n, [=](std::uint64_t at, std::size_t length, std::uint64_t next) mutable {
                prefetch(data + next, std::min<std::size_t>(length * sizeof(T), 1024));
                visit(data + at, index_t {1}, length);
            });
        else
            for_each_stretch(walker, n, visit);
    }

    /// Copies the next `n` elements to consecutive `out`.
    template <class Walker, class To> [[gnu::noinline]] void gather(Walker& walker, std::size_t n, To* out) const
    {
        auto* to = &out;
        for_each_stretch(walker, n, [to](const T* from, index_t step, std::size_t count) {
            if (step == 1)
                copy_run(from, count, *to);
            else
                for (std::size_t i = 0; i < count; ++i)
                    (*to)[i] = convert<To>(from[static_cast<index_t>(i) * step]);
            *to += count;
        });
    }

    /// Copies consecutive `in` to the next `n` elements.
    template <class Walker, class From> [[gnu::noinline]] void scatter(Walker& walker, std::size_t n, const From* in) const
    {
        auto* from = &in;
        for_each_stretch(walker, n, [from](T* to, index_t step, std::size_t count) {
            if (step == 1)
                copy_run(*from, count, to);
            else
                for (std::size_t i = 0; i < count; ++i)
                    to[static_cast<index_t>(i) * step] = convert<T>((*from)[i]);
            *from += count;
        });
    }

    /// Copies a whole piece.
    template <class To> void gather(const overlap_plan& plan, const overlap_piece& piece, To* out) const
    {
        piece_walker walker(plan, piece);
        gather(walker, static_cast<std::size_t>(plan.size_of(piece)), out);
    }
    template <class From> void scatter(const overlap_plan& plan, const overlap_piece& piece, const From* in) const
    {
        piece_walker walker(plan, piece);
        scatter(walker, static_cast<std::size_t>(plan.size_of(piece)), in);
    }

    [[nodiscard]] bool contiguous() const noexcept { return contiguous_; }
    [[nodiscard]] T* data() const noexcept { return data_; }

private:
    /// Divides a stretch, in the row-major order of a non-contiguous tensor, into lines of the last axis.
    template <class Line> void for_each_line(std::uint64_t at, std::size_t length, Line line) const
    {
        const auto& view = *view_;
        const std::size_t axes = view.shape.size();
        const index_t last = view.shape[axes - 1];
        while (length > 0) {
            auto rest = static_cast<index_t>(at);
            const index_t column = rest % last;
            rest /= last;
            index_t offset = column * view.strides[axes - 1];
            for (std::size_t axis = axes - 1; axis-- > 0;) {
                offset += rest % view.shape[axis] * view.strides[axis];
                rest /= view.shape[axis];
            }
            const auto count = (std::min)(length, static_cast<std::size_t>(last - column));
            line(data_ + offset, view.strides[axes - 1], count);
            at += count;
            length -= count;
        }
    }

    T* data_ = nullptr;
    const tensor_view* view_ = nullptr;
    bool contiguous_ = true;
};

} // namespace sdp::detail
