// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The loops over elements: gather and scatter of strided pieces, and the sum in rank order.

#include <sdp/overlap/plan.hpp>
#include <sdp/tensor.hpp>

#include <algorithm>
#include <cstring>
#include <span>

namespace sdp::detail {

/// Elements that are worked on at a time; a tile of each contributor stays in the first-level cache.
inline constexpr std::size_t tile = 1024;

/// Walks the elements of a piece in order, a stretch at a time, and remembers where it is.
class piece_walker {
public:
    piece_walker(const overlap_plan& plan, const overlap_piece& piece) noexcept
        : runs_(plan.runs_of(piece))
        , row_(piece.start)
        , stride_(piece.stride)
    {
    }

    /// Calls `visit(at, length)` for the next `n` elements. The caller does not go past the end of the piece.
    template <class Visit> void advance(std::size_t n, Visit visit)
    {
        while (n > 0) {
            const auto& run = runs_[run_];
            const auto length = std::min<std::size_t>(static_cast<std::size_t>(run.length) - used_, n);
            visit(row_ + run.offset + used_, length);
            n -= length;
            used_ += length;
            if (used_ < run.length)
                return;
            used_ = 0;
            if (++run_ == runs_.size()) {
                run_ = 0;
                row_ += stride_;
            }
        }
    }

private:
    std::span<const pattern_run> runs_;
    std::uint64_t row_;
    std::uint64_t stride_;
    std::size_t run_ = 0;
    std::size_t used_ = 0; ///< elements of the run
};

/// Copies a stretch; most of them are short, for which a call of memcpy costs more than the copy.
template <class T> inline void copy_run(const T* from, std::size_t n, T* to) noexcept
{
    if (n == 1)
        *to = *from;
    else if (n < 16)
        for (std::size_t i = 0; i < n; ++i)
            to[i] = from[i];
    else
        std::memcpy(to, from, n * sizeof(T));
}

/// One local tensor of element type T, contiguous or not.
template <class T> class local_tensor {
public:
    explicit local_tensor(const tensor_view& view)
        : data_(static_cast<T*>(view.data))
        , view_(view)
        , contiguous_(view.contiguous())
    {
    }

    /// Copies the next `n` elements of a piece to consecutive `out`.
    void gather(piece_walker& walker, std::size_t n, T* out) const
    {
        if (contiguous_)
            walker.advance(n, [&](std::uint64_t at, std::size_t length) {
                copy_run(data_ + at, length, out);
                out += length;
            });
        else
            walker.advance(n, [&](std::uint64_t at, std::size_t length) {
                for_each_line(at, length, [&](const T* line, index_t step, std::size_t count) {
                    for (std::size_t i = 0; i < count; ++i)
                        *out++ = line[static_cast<index_t>(i) * step];
                });
            });
    }

    /// Copies consecutive `in` to the next `n` elements of a piece.
    void scatter(piece_walker& walker, std::size_t n, const T* in) const
    {
        if (contiguous_)
            walker.advance(n, [&](std::uint64_t at, std::size_t length) {
                copy_run(in, length, data_ + at);
                in += length;
            });
        else
            walker.advance(n, [&](std::uint64_t at, std::size_t length) {
                for_each_line(at, length, [&](T* line, index_t step, std::size_t count) {
                    for (std::size_t i = 0; i < count; ++i)
                        line[static_cast<index_t>(i) * step] = *in++;
                });
            });
    }

    /// The whole of a piece.
    void gather(const overlap_plan& plan, const overlap_piece& piece, T* out) const
    {
        piece_walker walker(plan, piece);
        gather(walker, static_cast<std::size_t>(plan.size_of(piece)), out);
    }
    void scatter(const overlap_plan& plan, const overlap_piece& piece, const T* in) const
    {
        piece_walker walker(plan, piece);
        scatter(walker, static_cast<std::size_t>(plan.size_of(piece)), in);
    }

private:
    /// A stretch in the row-major order of a tensor that is not contiguous: one line of its last axis after another.
    template <class Line> void for_each_line(std::uint64_t at, std::size_t length, Line line) const
    {
        const std::size_t axes = view_.shape.size();
        const index_t last = view_.shape[axes - 1];
        while (length > 0) {
            auto rest = static_cast<index_t>(at);
            const index_t column = rest % last;
            rest /= last;
            index_t offset = column * view_.strides[axes - 1];
            for (std::size_t axis = axes - 1; axis-- > 0;) {
                offset += rest % view_.shape[axis] * view_.strides[axis];
                rest /= view_.shape[axis];
            }
            const auto count = std::min(length, static_cast<std::size_t>(last - column));
            line(data_ + offset, view_.strides[axes - 1], count);
            at += count;
            length -= count;
        }
    }

    T* data_;
    tensor_view view_;
    bool contiguous_;
};

/// One trainer's gradient of a piece: consecutive elements that arrived from a peer, or null for this worker's own.
template <class T> struct contribution {
    T* elements = nullptr;
    T weight = 1;
};

/// Sums the contributions in the order given, which is rank order, divides once, and leaves the mean in the local tensor.
/// If `give_back` is set, the mean also replaces every contribution that arrived, from where it is sent back.
template <class T>
void reduce(const overlap_plan& plan, const overlap_piece& piece, const local_tensor<T>& own,
    std::span<const contribution<T>> contributions, bool weighted, T divisor, bool give_back)
{
    T sum[tile], mine[tile];
    piece_walker in(plan, piece), out(plan, piece);
    const std::uint64_t size = plan.size_of(piece);
    for (std::uint64_t done = 0; done < size; done += tile) {
        const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(tile, size - done));
        own.gather(in, n, mine);
        bool first = true;
        for (const auto& c : contributions) {
            if (weighted && c.weight == 0)
                continue; // counts for nothing, not even as a NaN
            const T* const from = c.elements ? c.elements + done : mine;
            if (weighted)
                for (std::size_t i = 0; i < n; ++i)
                    sum[i] = first ? c.weight * from[i] : sum[i] + c.weight * from[i];
            else if (first)
                std::copy_n(from, n, sum);
            else
                for (std::size_t i = 0; i < n; ++i)
                    sum[i] += from[i];
            first = false;
        }
        if (first)
            std::fill_n(sum, n, T(0));
        else
            for (std::size_t i = 0; i < n; ++i)
                sum[i] /= divisor;
        own.scatter(out, n, sum);
        if (give_back)
            for (const auto& c : contributions)
                if (c.elements)
                    std::copy_n(sum, n, c.elements + done);
    }
}

/// Sum of the squares of a piece, in double and in a fixed order.
template <class T>
[[nodiscard]] double sum_of_squares(const overlap_plan& plan, const overlap_piece& piece, const local_tensor<T>& own)
{
    constexpr std::size_t lanes = 8; // independent partial sums, so that the loop is not one long chain of additions
    double partial[lanes] = {};
    T values[tile];
    piece_walker walker(plan, piece);
    const std::uint64_t size = plan.size_of(piece);
    for (std::uint64_t done = 0; done < size; done += tile) {
        const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(tile, size - done));
        own.gather(walker, n, values);
        for (std::size_t i = 0; i < n; ++i)
            partial[i % lanes] += static_cast<double>(values[i]) * static_cast<double>(values[i]);
    }
    double sum = 0;
    for (const double p : partial)
        sum += p;
    return sum;
}

/// Calls `f` with a value of the C++ type behind an element type.
/// @throws sdp::error for a type that gradients cannot have yet
template <class F> decltype(auto) with_element_type(element_type type, F&& f)
{
    switch (type) {
    case element_type::f32:
        return f(float {});
    case element_type::f64:
        return f(double {});
    case element_type::f16:
    case element_type::bf16:
        break;
    }
    fail("elements of type ", name_of(type), " are not exchanged; expected f32 or f64");
}

} // namespace sdp::detail
