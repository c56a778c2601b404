// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Packing: copies the pieces of a parameter to send buffers, and back.

#include <sdp/detail/elements/local_tensor.hpp>

#include <algorithm>
#include <span>
#include <vector>

namespace sdp::detail {

/// True if the runs of a parameter are so short that most of a cache line around a run belongs to other classes. Owners then sum
/// packed elements faster than elements in each other's tensors.
[[nodiscard]] inline bool is_interleaved(const overlap_plan& plan, std::size_t parameter)
{
    constexpr std::uint64_t short_run = 32; // elements
    std::uint64_t elements = 0, runs = 0;
    for (const auto& piece : plan.of(parameter)) {
        elements += plan.size_of(piece);
        runs += plan.patterns[piece.pattern].count * piece.rows;
    }
    return plan.of(parameter).size() > 1 && elements < short_run * runs;
}

/// Packs the pieces of a parameter. Keeps its list between calls, so that a step allocates nothing.
class packer {
public:
    /// @param most largest number of pieces of a parameter
    explicit packer(std::size_t most) { group_.reserve(most); }

    /// Packs the `i`-th piece of the parameter to `places[i]`, as elements of type W; null skips the piece.
    template <class T, class W>
    [[gnu::noinline]] void gather(
        const overlap_plan& plan, std::size_t parameter, const tensor_view& from, std::span<void* const> places)
    {
        const local_tensor<T> local(from);
        for_each_group(
            plan, parameter, places, local.contiguous(),
            [&](const overlap_piece& piece, void* place) { local.gather(plan, piece, static_cast<W*>(place)); },
            [data = local.data()](const copying& c, std::size_t rows) {
                auto* to = static_cast<W*>(c.place);
                for (const auto& run : c.runs)
                    copy_column(data + c.row + run.offset, c.stride, rows, to++, c.runs.size());
                return static_cast<void*>(static_cast<W*>(c.place) + rows * c.runs.size());
            });
    }

    /// Unpacks the `i`-th piece of the parameter from `places[i]`.
    template <class T, class W>
    [[gnu::noinline]] void scatter(
        const overlap_plan& plan, std::size_t parameter, const tensor_view& to, std::span<void* const> places)
    {
        const local_tensor<T> local(to);
        for_each_group(
            plan, parameter, places, local.contiguous(),
            [&](const overlap_piece& piece, void* place) { local.scatter(plan, piece, static_cast<const W*>(place)); },
            [data = local.data()](const copying& c, std::size_t rows) {
                const auto* from = static_cast<const W*>(c.place);
                for (const auto& run : c.runs)
                    copy_column(from++, c.runs.size(), rows, data + c.row + run.offset, c.stride);
                return static_cast<void*>(static_cast<W*>(c.place) + rows * c.runs.size());
            });
    }

private:
    struct copying {
        std::uint64_t row; ///< first element of the next row
        std::uint32_t rows_left;
        std::uint32_t stride;
        std::span<const pattern_run> runs;
        void* place;
    };

    template <class From, class To>
    static void copy_column(const From* from, std::size_t from_step, std::size_t rows, To* to, std::size_t to_step) noexcept
    {
        for (std::size_t row = 0; row < rows; ++row)
            to[row * to_step] = convert<To>(from[row * from_step]);
    }

    /// Calls `whole(piece, place)` for each piece, unless its runs are single elements. Then the pieces of one block of rows
    /// alternate, a few rows at a time, so that the cache lines that they share remain in the first-level cache. `rows(c, n)`
    /// copies `n` rows.
    template <class Whole, class Rows>
    void for_each_group(
        const overlap_plan& plan, std::size_t parameter, std::span<void* const> places, bool contiguous, Whole whole, Rows rows)
    {
        constexpr std::uint64_t at_once = 4096; // elements of the tensor
        const auto pieces = plan.of(parameter);
        for (std::size_t i = 0; i < pieces.size();) {
            const auto& first = pieces[i];
            const auto& pattern = plan.patterns[first.pattern];
            if (!contiguous || first.rows == 1 || pattern.elements != pattern.count) {
                if (places[i] != nullptr)
                    whole(first, places[i]);
                ++i;
                continue;
            }
            group_.clear();
            const std::uint64_t end = first.start + std::uint64_t {first.stride} * first.rows;
            for (; i < pieces.size(); ++i) {
                const auto& piece = pieces[i];
                const auto& p = plan.patterns[piece.pattern];
                if (piece.stride != first.stride || piece.start >= end || p.elements != p.count)
                    break;
                if (places[i] != nullptr)
                    group_.push_back({piece.start, piece.rows, piece.stride, plan.runs_of(piece), places[i]});
            }
            const std::uint64_t step = std::max<std::uint64_t>(at_once / first.stride, 1) * first.stride;
            for (std::uint64_t limit = first.start / first.stride * first.stride + step; !group_.empty(); limit += step) {
                for (std::size_t g = 0; g < group_.size();) {
                    auto& c = group_[g];
                    const auto n
                        = c.row < limit ? std::min<std::uint64_t>(c.rows_left, (limit - c.row + c.stride - 1) / c.stride) : 0;
                    if (n > 0) {
                        c.place = rows(c, static_cast<std::size_t>(n));
                        c.row += n * c.stride;
                        c.rows_left -= static_cast<std::uint32_t>(n);
                    }
                    if (c.rows_left > 0) {
                        ++g;
                    } else {
                        c = group_.back();
                        group_.pop_back();
                    }
                }
            }
        }
    }

    std::vector<copying> group_;
};

} // namespace sdp::detail
