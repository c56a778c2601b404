// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Iterators over the elements of a plan's pieces, a stretch at a time.

#include <sdp/overlap/plan.hpp>

#include <algorithm>
#include <cstdint>
#include <span>
#include <type_traits>

namespace sdp::detail {

/// The pieces, patterns and runs of a plan, this worker's or a peer's.
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

/// Iterates over the elements of a piece in order, a stretch at a time, and keeps its position.
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

    /// The beginning of the run after the current one; unspecified if there is none.
    [[nodiscard]] std::uint64_t next_run() const noexcept
    {
        return run_ + 1 < runs_.size() ? row_ + runs_[run_ + 1].offset : row_ + stride_ + runs_[0].offset;
    }

    /// Calls `visit(at, length)` for the next `n` elements, or up to the end of the piece. Returns the number of elements not
    /// visited.
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

/// Iterates over pieces one after the other, for example all pieces of a parameter that one owner owns.
class piece_stream {
public:
    piece_stream() = default;
    /// Iterates over the pieces with the given numbers.
    piece_stream(const plan_arrays& plan, std::span<const std::uint32_t> numbers) noexcept
        : plan_(plan)
        , next_(numbers.data())
        , end_(numbers.data() + numbers.size())
    {
    }
    /// Iterates over one piece.
    piece_stream(const plan_arrays& plan, const overlap_piece& piece) noexcept
        : plan_(plan)
        , walker_(plan.runs_of(piece), piece)
    {
    }

    /// The caller does not advance past the end.
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

} // namespace sdp::detail
