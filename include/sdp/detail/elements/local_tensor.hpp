// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The loops over elements: gather, scatter and addition of strided pieces.
///
/// Runs are often short, down to a single element, so nothing here calls out for a few elements; and the loops over many
/// have a constant inner count, which compilers turn into vector code also where they are careful (-O2).

#include <sdp/detail/elements/element_dispatch.hpp>
#include <sdp/detail/elements/wire.hpp>
#include <sdp/overlap/plan.hpp>
#include <sdp/tensor.hpp>
#include <sdp/tiles/tile_bodies.hpp>

#include <algorithm>
#include <cstring>
#include <span>
#include <type_traits>

namespace sdp::detail {

/// Asks for the cache lines of some bytes, which need not exist, before they are read.
inline void prefetch([[maybe_unused]] const void* begin, [[maybe_unused]] std::size_t bytes) noexcept
{
#if defined(__GNUC__)
    for (std::size_t i = 0; i < bytes; i += 64)
        __builtin_prefetch(static_cast<const char*>(begin) + i);
#endif
}

/// Elements that are worked on at a time; a tile of each contributor stays in the first-level cache.
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

/// Copies a stretch; most of them are short, for which a call of memcpy costs more than the copy.
template <class From, class To> inline void copy_run(const From* __restrict from, std::size_t n, To* __restrict to) noexcept
{
    if constexpr (std::is_same_v<From, To>)
        if (n >= 512) {
            std::memcpy(to, from, n * sizeof(To));
            return;
        }
    for_each_index(n, [=](std::size_t i) { to[i] = convert<To>(from[i]); });
}

/// Where the runs of pieces are, be it in this worker's plan or in a peer's.
struct plan_arrays {
    const overlap_piece* pieces = nullptr;
    const overlap_plan::pattern* patterns = nullptr;
    const pattern_run* runs = nullptr;

    plan_arrays() = default;
    explicit plan_arrays(const overlap_plan& plan)
        : pieces(plan.pieces.data())
        , patterns(plan.patterns.data())
        , runs(plan.runs.data())
    {
    }

    [[nodiscard]] std::span<const pattern_run> runs_of(const overlap_piece& piece) const noexcept
    {
        const auto& p = patterns[piece.pattern];
        return {runs + p.first, p.count};
    }
};

/// Walks the elements of a piece in order, a stretch at a time, and remembers where it is.
class piece_walker {
public:
    piece_walker() = default;
    piece_walker(std::span<const pattern_run> runs, const overlap_piece& piece) noexcept
        : runs_(runs)
        , row_(piece.start)
        , stride_(piece.stride)
        , rows_left_(piece.rows)
    {
    }
    piece_walker(const overlap_plan& plan, const overlap_piece& piece) noexcept
        : piece_walker(plan.runs_of(piece), piece)
    {
    }

    [[nodiscard]] bool at_end() const noexcept { return rows_left_ == 0; }

    /// Where the run after the one at hand begins; anywhere if there is none.
    [[nodiscard]] std::uint64_t next_run() const noexcept
    {
        return run_ + 1 < runs_.size() ? row_ + runs_[run_ + 1].offset : row_ + stride_ + runs_[0].offset;
    }

    /// Calls `visit(at, length)` for the next `n` elements, or up to the end of the piece; returns those that were left over.
    template <class Visit> std::size_t advance(std::size_t n, Visit visit)
    {
        while (n > 0 && rows_left_ > 0) {
            const auto& run = runs_[run_];
            const auto length = std::min<std::size_t>(static_cast<std::size_t>(run.length) - used_, n);
            if constexpr (std::is_invocable_v<Visit&, std::uint64_t, std::size_t, std::uint64_t>)
                visit(row_ + run.offset + used_, length, next_run());
            else
                visit(row_ + run.offset + used_, length);
            n -= length;
            used_ += length;
            if (used_ < run.length)
                return n;
            used_ = 0;
            if (++run_ == runs_.size()) {
                run_ = 0;
                row_ += stride_;
                --rows_left_;
            }
        }
        return n;
    }

private:
    std::span<const pattern_run> runs_;
    std::uint64_t row_ = 0;
    std::uint64_t stride_ = 0;
    std::size_t run_ = 0;
    std::size_t used_ = 0; ///< elements of the run
    std::uint64_t rows_left_ = 0;
};

/// Walks pieces one after the other: all of those that an owner owns of a parameter, say.
class piece_stream {
public:
    piece_stream() = default;
    /// Of the pieces with the numbers given.
    piece_stream(const plan_arrays& plan, std::span<const std::uint32_t> numbers) noexcept
        : plan_(plan)
        , next_(numbers.data())
        , end_(numbers.data() + numbers.size())
    {
    }
    /// Of one piece.
    piece_stream(const plan_arrays& plan, const overlap_piece& piece) noexcept
        : plan_(plan)
        , walker_(plan.runs_of(piece), piece)
    {
    }

    /// The caller does not go past the end.
    template <class Visit> void advance(std::size_t n, Visit visit)
    {
        while ((n = walker_.advance(n, visit)) > 0) {
            const auto& piece = plan_.pieces[*next_++];
            walker_ = piece_walker(plan_.runs_of(piece), piece);
        }
    }

private:
    plan_arrays plan_;
    const std::uint32_t* next_ = nullptr;
    const std::uint32_t* end_ = nullptr;
    piece_walker walker_;
};

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

    /// Calls `visit(place, step, count)` for stretches that together are the next `n` elements; `step` is 1 where the tensor
    /// is contiguous.
    template <class Walker, class Visit> void for_each_stretch(Walker& walker, std::size_t n, Visit visit) const
    {
        T* const data = data_;
        if (contiguous_)
            walker.advance(n, [=](std::uint64_t at, std::size_t length) mutable { visit(data + at, index_t {1}, length); });
        else
            walker.advance(n, [&](std::uint64_t at, std::size_t length) { for_each_line(at, length, visit); });
    }

    /// The same for stretches that are far apart: the beginning of the next is asked for while one is worked on.
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

    /// The whole of a piece.
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
    /// A stretch in the row-major order of a tensor that is not contiguous: one line of its last axis after another.
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
            const auto count = std::min(length, static_cast<std::size_t>(last - column));
            line(data_ + offset, view.strides[axes - 1], count);
            at += count;
            length -= count;
        }
    }

    T* data_ = nullptr;
    const tensor_view* view_ = nullptr;
    bool contiguous_ = true;
};

/// Calls `visit(sum)` with the sum of the squares of each `tile_elements` of a piece, in the order that a device takes too.
template <class T, class Visit>
void for_each_square_sum(const overlap_plan& plan, const overlap_piece& piece, const local_tensor<T>& own, Visit visit)
{
    T values[tile_elements];
    piece_walker walker(plan, piece);
    const std::uint64_t size = plan.size_of(piece);
    for (std::uint64_t done = 0; done < size; done += tile_elements) {
        const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(tile_elements, size - done));
        own.gather(walker, n, values);
        double sums[square_lanes] = {};
        std::size_t i = 0;
        for (; i + square_lanes <= n; i += square_lanes)
            for (std::size_t lane = 0; lane < square_lanes; ++lane)
                sums[lane] += static_cast<double>(values[i + lane]) * static_cast<double>(values[i + lane]);
        for (std::size_t lane = 0; i + lane < n; ++lane)
            sums[lane] += static_cast<double>(values[i + lane]) * static_cast<double>(values[i + lane]);
        visit(add_lanes(sums));
    }
}

} // namespace sdp::detail
