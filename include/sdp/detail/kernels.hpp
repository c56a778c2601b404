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

/// One local tensor of element type T, contiguous or not.
template <class T> class local_tensor {
public:
    explicit local_tensor(const tensor_view& view)
        : data_(static_cast<T*>(view.data))
        , view_(view)
        , contiguous_(view.contiguous())
    {
    }

    /// Copies elements [from, from + n) of the piece to consecutive `out`.
    void gather(const overlap_piece& piece, std::uint64_t from, std::size_t n, T* out) const
    {
        if (contiguous_ && piece.length == 1) {
            const T* const first = data_ + piece.start + from * piece.stride;
            for (std::size_t i = 0; i < n; ++i)
                out[i] = first[i * piece.stride];
            return;
        }
        for_each_row(piece, from, n, [&](std::uint64_t at, std::size_t length) {
            if (contiguous_)
                std::copy_n(data_ + at, length, out);
            else
                for_each_line(at, length, [&, to = out](const T* p, index_t step, std::size_t count) mutable {
                    for (std::size_t i = 0; i < count; ++i)
                        *to++ = p[static_cast<index_t>(i) * step];
                });
            out += length;
        });
    }

    /// Copies consecutive `in` to elements [from, from + n) of the piece.
    void scatter(const overlap_piece& piece, std::uint64_t from, std::size_t n, const T* in) const
    {
        if (contiguous_ && piece.length == 1) {
            T* const first = data_ + piece.start + from * piece.stride;
            for (std::size_t i = 0; i < n; ++i)
                first[i * piece.stride] = in[i];
            return;
        }
        for_each_row(piece, from, n, [&](std::uint64_t at, std::size_t length) {
            if (contiguous_)
                std::copy_n(in, length, data_ + at);
            else
                for_each_line(at, length, [&, source = in](T* p, index_t step, std::size_t count) mutable {
                    for (std::size_t i = 0; i < count; ++i)
                        p[static_cast<index_t>(i) * step] = *source++;
                });
            in += length;
        });
    }

private:
    template <class Row> static void for_each_row(const overlap_piece& piece, std::uint64_t from, std::size_t n, Row row)
    {
        std::uint64_t skip = from % piece.length;
        std::uint64_t at = piece.start + from / piece.length * piece.stride;
        while (n > 0) {
            const auto length = static_cast<std::size_t>(std::min<std::uint64_t>(piece.length - skip, n));
            row(at + skip, length);
            at += piece.stride;
            skip = 0;
            n -= length;
        }
    }

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
void reduce(const local_tensor<T>& own, const overlap_piece& piece, std::span<const contribution<T>> contributions, bool weighted,
    T divisor, bool give_back)
{
    T sum[tile], mine[tile];
    for (std::uint64_t done = 0; done < piece.size(); done += tile) {
        const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(tile, piece.size() - done));
        own.gather(piece, done, n, mine);
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
        own.scatter(piece, done, n, sum);
        if (give_back)
            for (const auto& c : contributions)
                if (c.elements)
                    std::copy_n(sum, n, c.elements + done);
    }
}

/// Sum of the squares of a piece, in double and in a fixed order.
template <class T> [[nodiscard]] double sum_of_squares(const local_tensor<T>& own, const overlap_piece& piece)
{
    constexpr std::size_t lanes = 8; // independent partial sums, so that the loop is not one long chain of additions
    double partial[lanes] = {};
    T values[tile];
    for (std::uint64_t done = 0; done < piece.size(); done += tile) {
        const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(tile, piece.size() - done));
        own.gather(piece, done, n, values);
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
