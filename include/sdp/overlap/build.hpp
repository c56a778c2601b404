// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Builds a worker's overlap plan from the residency. Local: a worker looks only at what it stores.

#include <sdp/overlap/plan.hpp>
#include <sdp/subnetwork.hpp>

#include <algorithm>
#include <array>
#include <limits>
#include <unordered_map>

namespace sdp {
namespace detail {

    /// A box of one parameter whose elements all have the same residents.
    struct cell {
        std::array<index_t, max_axes> begin {}; ///< in indices of the full tensor
        extents shape;
        std::uint32_t residents = 0;

        [[nodiscard]] index_t size() const noexcept { return shape.product(); }
    };

    /// The cells of a parameter whose residents are `wanted`, in the global order: row-major over the runs of its split axes.
    ///
    /// `wanted` must hold for a set of residents whenever it holds for a subset, because axes are intersected one by one.
    template <class Wanted>
    [[nodiscard]] std::vector<cell> cells_of(
        const model& m, const residency& r, class_table& classes, parameter_id id, Wanted wanted)
    {
        const auto& p = m[id];
        cell whole;
        whole.shape = p.shape;
        whole.residents = p.where.within ? r.of(*p.where.within) : 0U;
        std::vector<cell> out;
        if (wanted(classes[whole.residents]))
            out.push_back(whole);
        auto axes = p.where.axes;
        std::sort(axes.begin(), axes.end(), [](const auto& a, const auto& b) { return a.axis < b.axis; });
        for (const auto& axis : axes) {
            const auto at = static_cast<std::size_t>(axis.axis);
            std::vector<cell> next;
            for (const auto& c : out)
                for (const auto& run : r.runs(axis.group)) {
                    cell part = c;
                    part.residents = classes.intersect(c.residents, run.residents);
                    if (!wanted(classes[part.residents]))
                        continue;
                    part.begin[at] = run.begin * axis.elements_per_neuron;
                    part.shape[at] = (run.end - run.begin) * axis.elements_per_neuron;
                    next.push_back(part);
                }
            out = std::move(next);
        }
        return out;
    }

    /// A box of a row-major tensor as rows: `length` consecutive elements, repeated along `outer` axes.
    class box_rows {
    public:
        box_rows(const extents& tensor, const extents& begin, const extents& box)
        {
            const auto strides = row_major_strides(tensor);
            for (std::size_t axis = 0; axis < tensor.size(); ++axis)
                start_ += static_cast<std::uint64_t>(begin[axis] * strides[axis]);
            std::size_t axis = tensor.size();
            while (axis-- > 0) {
                length_ *= static_cast<std::uint64_t>(box[axis]);
                if (box[axis] != tensor[axis])
                    break;
            }
            for (std::size_t outer = 0; outer < axis && axis < tensor.size(); ++outer)
                if (box[outer] != 1)
                    outer_.push_back({static_cast<std::uint64_t>(box[outer]), static_cast<std::uint64_t>(strides[outer])});
        }

        /// Calls `emit(start, length, count, stride)` for elements [from, to) of the box in row-major order.
        template <class Emit> void for_each_run(std::uint64_t from, std::uint64_t to, Emit emit) const
        {
            while (from < to) {
                const std::uint64_t row = from / length_;
                const std::uint64_t skip = from % length_;
                if (skip != 0 || to - from < length_) {
                    const std::uint64_t length = std::min(length_ - skip, to - from);
                    emit(start_of(row) + skip, length, std::uint64_t {1}, std::uint64_t {0});
                    from += length;
                    continue;
                }
                const std::uint64_t whole_rows = (to - from) / length_;
                const std::uint64_t line = outer_.empty() ? 1 : outer_.back().count - row % outer_.back().count;
                const std::uint64_t count = std::min(whole_rows, line);
                emit(start_of(row), length_, count, outer_.empty() ? 0 : outer_.back().stride);
                from += count * length_;
            }
        }

    private:
        struct outer_axis {
            std::uint64_t count;
            std::uint64_t stride;
        };

        [[nodiscard]] std::uint64_t start_of(std::uint64_t row) const
        {
            std::uint64_t at = start_;
            for (auto axis = outer_.rbegin(); axis != outer_.rend(); ++axis) {
                at += row % axis->count * axis->stride;
                row /= axis->count;
            }
            return at;
        }

        std::uint64_t start_ = 0;
        std::uint64_t length_ = 1;
        std::vector<outer_axis> outer_;
    };

    /// Appends one run as pieces, cut where a field of the piece would overflow. What is cut row by row has rows or gaps of
    /// more than 2^32 elements, so there are few of them.
    inline void append_pieces(std::vector<overlap_piece>& out, overlap_piece piece, std::uint64_t start, std::uint64_t length,
        std::uint64_t count, std::uint64_t stride)
    {
        constexpr std::uint64_t most = std::numeric_limits<std::uint32_t>::max();
        const std::uint64_t rows = length <= most && stride <= most ? most : 1; // that one piece may cover
        for (std::uint64_t row = 0; row < count; row += rows)
            for (std::uint64_t done = 0; done < length; done += most) {
                piece.start = (start + row * stride + done) & ((std::uint64_t {1} << 40) - 1);
                piece.length = static_cast<std::uint32_t>(std::min(most, length - done));
                piece.count = static_cast<std::uint32_t>(std::min(rows, count - row));
                piece.stride = rows > 1 ? static_cast<std::uint32_t>(stride) : 0U;
                out.push_back(piece);
            }
    }

    /// Builds plans; `place` tells where a cell lies locally.
    class plan_builder {
    public:
        plan_builder(const model& m, const residency& r, int rank)
            : model_(m)
            , residency_(r)
            , classes_(r.classes())
        {
            plan_.rank = rank;
            plan_.world = r.world();
        }

        /// `slabs(parameter)` are the local tensors; `wanted(residents)` keeps the cells that concern this plan.
        template <class Slabs, class Wanted> [[nodiscard]] overlap_plan build(Slabs slabs, Wanted wanted)
        {
            for (std::size_t p = 0; p < model_.parameters().size(); ++p) {
                plan_.first_piece.push_back(plan_.pieces.size());
                add_parameter(slabs(parameter_id(p)), cells_of(model_, residency_, classes_, parameter_id(p), wanted));
            }
            plan_.first_piece.push_back(plan_.pieces.size());
            return std::move(plan_);
        }

    private:
        struct share {
            std::uint64_t total = 0; ///< of the class in this parameter
            std::uint64_t done = 0;
            std::uint64_t first_owner = 0;
        };

        std::uint32_t class_number(std::uint32_t residents)
        {
            const auto [at, added] = numbers_.emplace(residents, static_cast<std::uint32_t>(plan_.classes.size()));
            if (added) {
                const auto& who = classes_[residents];
                auto& c = plan_.classes.emplace_back();
                c.trainers = who.trained.ranks();
                c.readers = difference(who.stored, who.trained).ranks();
                const auto me = std::find(c.trainers.begin(), c.trainers.end(), plan_.rank);
                c.position = me == c.trainers.end() ? -1 : static_cast<int>(me - c.trainers.begin());
                if (c.trainers.size() > 65536)
                    fail("a unit is trained by ", c.trainers.size(), " ranks; at most 65536 are supported");
            }
            return at->second;
        }

        void add_parameter(std::span<const slab> slabs, const std::vector<cell>& cells)
        {
            shares_.clear();
            for (const auto& c : cells)
                shares_[class_number(c.residents)].total += static_cast<std::uint64_t>(c.size());
            for (auto& [number, s] : shares_) {
                // Shares differ by at most one element; the longer ones go round, so that over the whole model every trainer
                // owns its 1/k to within one element.
                auto& c = plan_.classes[number];
                s.first_owner = c.elements % c.trainers.size();
                c.elements += s.total;
            }
            for (const auto& c : cells)
                add_cell(slabs, c);
        }

        void add_cell(std::span<const slab> slabs, const cell& c)
        {
            extents begin;
            std::size_t number = 0;
            for (; number < slabs.size(); ++number) {
                begin = {};
                for (std::size_t axis = 0; axis < c.shape.size(); ++axis)
                    begin.push_back(slabs[number].local(axis, c.begin[axis]));
                if (std::find(begin.begin(), begin.end(), index_t {-1}) == begin.end())
                    break;
            }
            const box_rows rows(slabs[number].shape, begin, c.shape);

            overlap_piece piece {};
            piece.slab = number & 0xFF;
            piece.holder_class = numbers_.at(c.residents);
            auto& s = shares_.at(piece.holder_class);
            const std::uint64_t k = plan_.classes[piece.holder_class].trainers.size();
            const std::uint64_t end = s.done + static_cast<std::uint64_t>(c.size());
            const std::uint64_t shorter = s.total / k, longer = s.total % k; // shares 0 … longer−1 have one element more
            const std::uint64_t cell_begin = s.done;
            while (s.done < end) {
                const std::uint64_t in_longer = longer * (shorter + 1);
                const std::uint64_t number_of_share
                    = s.done < in_longer ? s.done / (shorter + 1) : longer + (s.done - in_longer) / shorter;
                const std::uint64_t share_end = number_of_share < longer ? (number_of_share + 1) * (shorter + 1)
                                                                         : in_longer + (number_of_share - longer + 1) * shorter;
                const std::uint64_t to = std::min(end, share_end);
                piece.owner = (number_of_share + s.first_owner) % k & 0xFFFF;
                rows.for_each_run(s.done - cell_begin, to - cell_begin, [&](auto start, auto length, auto count, auto stride) {
                    append_pieces(plan_.pieces, piece, start, length, count, stride);
                });
                s.done = to;
            }
        }

        const model& model_;
        const residency& residency_;
        class_table classes_;
        overlap_plan plan_;
        std::unordered_map<std::uint32_t, std::uint32_t> numbers_; ///< residents → class of the plan
        std::unordered_map<std::uint32_t, share> shares_;
    };

} // namespace detail

/// The plan of the worker whose subnetwork it is. Linear in the number of its pieces.
[[nodiscard]] inline overlap_plan make_overlap_plan(const model& m, const residency& r, const subnetwork& s)
{
    const int rank = s.rank();
    return detail::plan_builder(m, r, rank)
        .build([&](parameter_id p) { return s.slabs(p); }, [rank](const residents& who) { return who.stored.contains(rank); });
}

/// The plan of somebody who keeps every parameter at full size, whatever it trains: where each owner's elements lie in the
/// assembled model. Its pieces come in the same order as everybody's.
[[nodiscard]] inline overlap_plan make_assembly_plan(const model& m, const residency& r, int rank)
{
    std::vector<slab> whole;
    for (std::size_t p = 0; p < m.parameters().size(); ++p) {
        auto& s = whole.emplace_back();
        s.parameter = parameter_id(p);
        s.shape = s.full_shape = m.parameters()[p].shape;
        for (const index_t extent : s.shape)
            s.axes.push_back({{0, extent}});
    }
    return detail::plan_builder(m, r, rank)
        .build(
            [&](parameter_id p) { return std::span<const slab>(&whole[index_of(p)], 1); }, [](const residents&) { return true; });
}

} // namespace sdp
