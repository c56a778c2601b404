// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Builds plans from strips: locates strips in local tensors and deals their elements to owners.

#include <sdp/overlap/detail/axis_map.hpp>
#include <sdp/overlap/detail/owner_shares.hpp>
#include <sdp/overlap/detail/strip_cutter.hpp>
#include <sdp/overlap/plan.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace sdp::detail {

/// Builds plans from strips, one parameter after another. `wanted(residents)` selects the strips that the plan needs.
template <class Wanted> class plan_builder {
public:
    plan_builder(const model& m, const residency& r, int rank, Wanted wanted)
        : model_(m)
        , cutter_(m, r, std::move(wanted))
    {
        plan_.rank = rank;
        plan_.world = r.world();
    }

    /// `slabs(parameter)` returns the local tensors of a parameter.
    template <class Slabs> [[nodiscard]] overlap_plan build(Slabs slabs)
    {
        plan_.first_piece.reserve(model_.parameters().size() + 1);
        for (std::size_t p = 0; p < model_.parameters().size(); ++p) {
            plan_.first_piece.push_back(plan_.pieces.size());
            const auto id = parameter_id(p);
            add_parameter(slabs(id), cutter_.cut(id));
        }
        plan_.first_piece.push_back(plan_.pieces.size());
        // A plan lives as long as the training, so the spare capacity of its vectors is freed.
        plan_.runs.shrink_to_fit();
        plan_.patterns.shrink_to_fit();
        plan_.pieces.shrink_to_fit();
        plan_.classes.shrink_to_fit();
        return std::move(plan_);
    }

private:
    /// Progress of dealing the elements of one sharing class in one parameter.
    struct deal {
        dealt_shares shares;
        std::uint64_t total = 0; ///< elements
        std::uint64_t done = 0;
        bool counted = false; ///< its elements are included in the count of the class
    };

    std::uint32_t class_number(std::uint32_t residents)
    {
        if (residents >= numbers_.size())
            numbers_.resize(std::max<std::size_t>(residents + 1, 2 * numbers_.size()), none);
        auto& number = numbers_[residents];
        if (number == none) {
            number = static_cast<std::uint32_t>(plan_.classes.size());
            const auto& who = cutter_.classes()[residents];
            auto& c = plan_.classes.emplace_back();
            c.trainers = who.trained.ranks();
            c.readers = difference(who.stored, who.trained).ranks();
            const auto me = std::lower_bound(c.trainers.begin(), c.trainers.end(), plan_.rank);
            c.position = me == c.trainers.end() || *me != plan_.rank ? -1 : static_cast<int>(me - c.trainers.begin());
            if (c.trainers.size() > 65536)
                fail("a unit is trained by ", c.trainers.size(), " ranks; at most 65536 are supported");
            deals_.emplace_back();
            grains_.push_back(0);
        }
        return number;
    }

    void add_parameter(std::span<const slab> slabs, std::span<const strip> strips)
    {
        for (const auto& s : strips)
            deals_[class_number(s.residents)] = {};
        for (const auto& s : strips)
            deals_[numbers_[s.residents]].total += s.elements();
        for (const auto& s : strips) {
            const auto number = numbers_[s.residents];
            auto& d = deals_[number];
            if (d.counted)
                continue;
            auto& c = plan_.classes[number];
            d.counted = true;
            d.shares = {d.total, c.trainers.size(), grains_[number]};
            c.elements += d.total;
        }
        maps_.clear();
        for (const auto& s : slabs) {
            auto& axes = maps_.emplace_back();
            for (const auto& selected : s.axes)
                axes.emplace_back(selected);
            if (s.size() >= index_t {1} << 36)
                fail("parameter '", model_[s.parameter].name, "' has a local tensor of ", s.size(), " elements on rank ",
                    plan_.rank, "; at most 2^36 − 1 are supported");
        }
        for (std::size_t first = 0, last = 0; first < strips.size(); first = last) {
            while (last < strips.size() && same_box(strips[first], strips[last]))
                ++last;
            if (placed_.size() < last - first)
                placed_.resize(last - first);
            for (std::size_t i = first; i < last; ++i)
                place(slabs, strips[i], placed_[i - first]);
            const std::uint64_t rows = strips[first].row_count(), block = std::min(rows, strips[first].block_rows);
            for (std::uint64_t row = 0; row < rows; row += block)
                for (std::size_t i = first; i < last; ++i)
                    deal_out(strips[i], placed_[i - first], std::min(rows, row + block));
        }
    }

    [[nodiscard]] static bool same_box(const strip& a, const strip& b) noexcept { return a.begin == b.begin && a.rows == b.rows; }

    /// A strip in a local tensor: the beginning of its first row, the strides of its rows, and the runs of a row.
    struct placed_strip {
        struct outer_axis {
            std::uint64_t count;
            std::uint64_t stride;
        };
        std::size_t slab = 0;
        std::uint64_t start = 0;
        std::vector<outer_axis> outer; ///< axes of rows, slowest first
        std::vector<std::pair<std::uint64_t, std::uint64_t>> runs; ///< offset and length, ascending
        std::vector<std::uint64_t> before; ///< elements of the row before each run
        std::uint64_t row_elements = 0;
        std::optional<std::uint64_t> first_element; ///< in the order of its class; set when dealing begins
        std::optional<std::uint32_t> whole_row; ///< pattern of a whole row, once added

        [[nodiscard]] std::uint64_t start_of(std::uint64_t row) const
        {
            std::uint64_t at = start;
            for (auto axis = outer.rbegin(); axis != outer.rend(); ++axis) {
                at += row % axis->count * axis->stride;
                row /= axis->count;
            }
            return at;
        }
    };

    void place(std::span<const slab> slabs, const strip& s, placed_strip& out)
    {
        out.slab = 0;
        out.first_element.reset();
        out.whole_row.reset();
        out.start = 0;
        out.row_elements = 0;
        out.outer.clear();
        out.runs.clear();
        out.before.clear();
        // A strip lies in one slab, because slabs differ in their trainers and a strip has one class.
        const auto inside = [&](std::size_t number) {
            for (std::size_t axis = 0; axis < s.rows.size(); ++axis)
                if (maps_[number][axis](s.begin[axis]) < 0)
                    return false;
            return maps_[number].empty() || maps_[number][s.axis](s.runs.front().begin) >= 0;
        };
        while (!inside(out.slab))
            ++out.slab;
        auto& maps = maps_[out.slab];
        const auto strides = row_major_strides(slabs[out.slab].shape);
        for (std::size_t axis = 0; axis < s.rows.size(); ++axis) {
            out.start += static_cast<std::uint64_t>(maps[axis](s.begin[axis]) * strides[axis]);
            if (s.rows[axis] != 1)
                out.outer.push_back({static_cast<std::uint64_t>(s.rows[axis]), static_cast<std::uint64_t>(strides[axis])});
        }
        for (const auto& run : s.runs) {
            const auto offset = static_cast<std::uint64_t>((maps.empty() ? 0 : maps[s.axis](run.begin)) * s.inner);
            const auto length = static_cast<std::uint64_t>((run.end - run.begin) * s.inner);
            if (!out.runs.empty() && out.runs.back().first + out.runs.back().second == offset)
                out.runs.back().second += length; // adjacent here, with any gap in the full tensor
            else {
                out.runs.push_back({offset, length});
                out.before.push_back(out.row_elements);
            }
            out.row_elements += length;
        }
    }

    /// Adds elements [from, to) of a row as a pattern.
    [[nodiscard]] std::uint32_t add_pattern(const placed_strip& s, std::uint64_t from, std::uint64_t to)
    {
        auto& p = plan_.patterns.emplace_back();
        p.first = plan_.runs.size();
        p.elements = to - from;
        auto i = static_cast<std::size_t>(std::upper_bound(s.before.begin(), s.before.end(), from) - s.before.begin()) - 1;
        for (; from < to; ++i) {
            const std::uint64_t skip = from - s.before[i];
            std::uint64_t length = std::min(s.runs[i].second - skip, to - from);
            from += length;
            for (std::uint64_t offset = s.runs[i].first + skip; length > 0;) {
                const std::uint64_t part = std::min(length, pattern_run::most);
                plan_.runs.push_back({offset & ((std::uint64_t {1} << 36) - 1), part & pattern_run::most});
                offset += part;
                length -= part;
            }
        }
        p.count = plan_.runs.size() - p.first;
        return static_cast<std::uint32_t>(plan_.patterns.size() - 1);
    }

    void add_piece(overlap_piece piece, std::uint64_t start, std::uint64_t rows, std::uint64_t stride)
    {
        // A piece counts rows and their distance in 32 bits. Anything larger becomes several pieces.
        constexpr std::uint64_t most = std::numeric_limits<std::uint32_t>::max();
        const std::uint64_t at_once = stride > most ? 1 : most;
        for (std::uint64_t row = 0; row < rows; row += at_once) {
            piece.start = (start + row * stride) & ((std::uint64_t {1} << 40) - 1);
            piece.rows = static_cast<std::uint32_t>(std::min(at_once, rows - row));
            piece.stride = static_cast<std::uint32_t>(stride > most ? 0 : stride);
            plan_.pieces.push_back(piece);
        }
    }

    /// Deals the next elements of a strip, up to the end of a row.
    void deal_out(const strip& s, placed_strip& at, std::uint64_t row_end)
    {
        overlap_piece piece {};
        piece.slab = at.slab & 0xFF;
        piece.sharing_class = numbers_[s.residents];
        auto& d = deals_[piece.sharing_class];
        if (!at.first_element)
            at.first_element = d.done;
        const std::uint64_t begin = *at.first_element, end = begin + row_end * at.row_elements;
        while (d.done < end) {
            const auto [number, share_end] = d.shares.of.at(d.done);
            const std::uint64_t to = std::min(end, share_end);
            piece.owner = d.shares.owner_of(number) & 0xFFFF;
            while (d.done < to) {
                const std::uint64_t row = (d.done - begin) / at.row_elements, from = (d.done - begin) % at.row_elements;
                const std::uint64_t left = to - d.done;
                if (from != 0 || left < at.row_elements) {
                    const std::uint64_t length = std::min(at.row_elements - from, left);
                    piece.pattern = add_pattern(at, from, from + length);
                    add_piece(piece, at.start_of(row), 1, 0);
                    d.done += length;
                    continue;
                }
                const std::uint64_t line = at.outer.empty() ? 1 : at.outer.back().count;
                const std::uint64_t rows = std::min(left / at.row_elements, line - row % line);
                if (!at.whole_row)
                    at.whole_row = add_pattern(at, 0, at.row_elements);
                piece.pattern = *at.whole_row;
                add_piece(piece, at.start_of(row), rows, at.outer.empty() ? 0 : at.outer.back().stride);
                d.done += rows * at.row_elements;
            }
        }
    }

    static constexpr auto none = static_cast<std::uint32_t>(-1);

    const model& model_;
    strip_cutter<Wanted> cutter_;
    overlap_plan plan_;
    std::vector<std::vector<axis_map>> maps_; ///< by slab and axis, of the current parameter
    std::vector<placed_strip> placed_; ///< the strips of the current box
    std::vector<std::uint32_t> numbers_; ///< by residents: number of the plan's class
    std::vector<deal> deals_; ///< by class of the plan, of the current parameter
    std::vector<std::uint64_t> grains_; ///< by class of the plan: grains dealt in earlier parameters
};

} // namespace sdp::detail
