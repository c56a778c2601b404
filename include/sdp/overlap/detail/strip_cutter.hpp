// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Cuts a parameter into strips, each of one sharing class and one box of rows. Defines the global order of all messages.

#include <sdp/masking/residency.hpp>
#include <sdp/subnetwork.hpp>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace sdp::detail {

/// The runs of one class on the last split axis, within a box of rows over the axes before it.
struct strip {
    std::array<index_t, max_axes> begin {}; ///< first row, in indices of the full tensor
    extents rows; ///< extents of the box on the axes before `axis`
    std::size_t axis = 0; ///< the last split axis; 0 if no axis is split
    index_t inner = 1; ///< elements behind one index of `axis`
    std::uint32_t residents = 0;
    std::span<const interval> runs; ///< on `axis`, ascending
    std::uint64_t row_indices = 0; ///< indices of `axis` in all runs
    std::uint64_t block_rows
        = (std::numeric_limits<std::uint64_t>::max)(); ///< strips of one box alternate in blocks of this many rows

    [[nodiscard]] std::uint64_t row_count() const noexcept { return static_cast<std::uint64_t>(rows.product()); }
    [[nodiscard]] std::uint64_t row_elements() const noexcept { return row_indices * static_cast<std::uint64_t>(inner); }
    [[nodiscard]] std::uint64_t elements() const noexcept { return row_count() * row_elements(); }
};

/// Cuts parameters into the strips that one worker stores, or into all strips.
///
/// Axes are intersected one by one, and a worker that stores an intersection stores both sides of it. A worker therefore never
/// inspects elements that it does not store, and has its strips in the global order nevertheless. The rank is looked up once per
/// class, and the runs of a group are filtered once instead of for every parameter on the group.
class strip_cutter {
public:
    /// The model and the residency must outlive the cutter.
    /// @param stored_by the worker whose strips are cut; without one all strips are cut
    strip_cutter(const model& m, const residency& r, std::optional<int> stored_by)
        : model_(m)
        , residency_(r)
        , stored_by_(stored_by)
        , classes_(&r.classes())
        , sifted_(m.groups().size())
    {
    }

    [[nodiscard]] const resident_classes& classes() const noexcept { return classes_; }

    /// The strips of a parameter: row-major over the runs of the split axes before the last, then by the first run of the class.
    /// Together with `block_rows` this defines the global order. Valid until the next call.
    [[nodiscard]] std::span<const strip> cut(parameter_id id)
    {
        strips_.clear();
        intervals_.clear();
        const auto& p = model_[id];
        strip whole;
        whole.residents = p.where.within ? residency_.of(*p.where.within) : resident_classes::pinned;
        std::vector<neuron_axis> split;
        for (const auto& axis : p.where.axes)
            if (const auto runs = residency_.runs(axis.group); runs.size() == 1) // one class for the whole axis: no cut
                whole.residents = classes_.intersect(whole.residents, runs[0].residents);
            else
                split.push_back(axis);
        if (!wanted(whole.residents))
            return {};
        std::sort(split.begin(), split.end(), [](const auto& a, const auto& b) { return a.axis < b.axis; });
        whole.axis = split.empty() ? 0 : static_cast<std::size_t>(split.back().axis);
        for (std::size_t axis = 0; axis < whole.axis; ++axis)
            whole.rows.push_back(p.shape[axis]);
        for (std::size_t axis = whole.axis + 1; axis < p.shape.size(); ++axis)
            whole.inner *= p.shape[axis];
        if (split.empty()) {
            intervals_.push_back({0, p.shape.empty() ? 1 : p.shape[0]});
            whole.runs = intervals_;
            whole.row_indices = static_cast<std::uint64_t>(intervals_[0].end);
            strips_.push_back(whole);
            return strips_;
        }

        // Short runs of many classes share cache lines and pages, so the strips of a box alternate. The rule uses only values
        // that all workers know.
        constexpr std::uint64_t short_run = 1024, block = 32768; // elements
        const auto row = static_cast<std::uint64_t>(p.shape[whole.axis] * whole.inner);
        constexpr std::uint64_t most_blocks = 1024, least_piece = 64; // bounds the number of pieces in the plan
        if (row < short_run * residency_.runs(split.back().group).size() * fused_parts(split.back()).size())
            whole.block_rows = (std::max)({block / row, least_piece * count_sets(split.back().group) / row,
                (whole.row_count() + most_blocks - 1) / most_blocks, std::uint64_t {1}});

        std::vector<strip> boxes {whole};
        for (std::size_t i = 0; i + 1 < split.size(); ++i) {
            const auto at = static_cast<std::size_t>(split[i].axis);
            std::vector<strip> next;
            for (const auto& box : boxes) {
                index_t first = 0;
                for (const index_t per_neuron : fused_parts(split[i])) {
                    for (const auto& run : runs_of(split[i].group)) {
                        const auto residents = classes_.intersect(box.residents, run.residents);
                        if (!wanted(residents))
                            continue;
                        auto& part = next.emplace_back(box);
                        part.residents = residents;
                        part.begin[at] = first + run.begin * per_neuron;
                        part.rows[at] = (run.end - run.begin) * per_neuron;
                    }
                    first += per_neuron * model_[split[i].group].neurons;
                }
            }
            boxes = std::move(next);
        }

        std::vector<std::size_t> ends; // end of the runs of each strip
        for (const auto& box : boxes)
            cut_last(box, split.back(), ends);
        for (std::size_t i = 0, begin = 0; i < strips_.size(); begin = ends[i], ++i)
            strips_[i].runs = std::span<const interval>(intervals_).subspan(begin, ends[i] - begin);
        return strips_;
    }

private:
    static constexpr auto none = static_cast<std::uint32_t>(-1);

    /// Sorts the runs of a box by class. Counts them first, so that one array holds all of them.
    void cut_last(const strip& box, const neuron_axis& axis, std::vector<std::size_t>& ends)
    {
        const auto runs = runs_of(axis.group);
        const auto parts = fused_parts(axis);
        const std::size_t first = strips_.size();
        met_.clear();
        for (const auto& run : runs) {
            const auto residents = classes_.intersect(box.residents, run.residents);
            met_.push_back(residents);
            if (residents >= strip_of_.size())
                strip_of_.resize((std::max)(classes_.size(), 2 * strip_of_.size()), none);
            auto& number = strip_of_[residents];
            if (number == none && wanted(residents)) {
                number = static_cast<std::uint32_t>(strips_.size());
                strips_.push_back(box);
                strips_.back().residents = residents;
                ends.push_back(0);
            }
            if (number != none)
                ends[number] += parts.size();
        }
        std::size_t next = intervals_.size();
        for (std::size_t i = first; i < strips_.size(); ++i) // turns counts into beginnings, which become ends as runs are added
            next += std::exchange(ends[i], next);
        intervals_.resize(next);
        index_t before = 0; // indices of the parts before
        for (const index_t per_neuron : parts) {
            for (std::size_t i = 0; i < runs.size(); ++i)
                if (const auto number = strip_of_[met_[i]]; number != none) {
                    const interval run {before + runs[i].begin * per_neuron, before + runs[i].end * per_neuron};
                    intervals_[ends[number]++] = run;
                    strips_[number].row_indices += static_cast<std::uint64_t>(run.end - run.begin);
                }
            before += per_neuron * model_[axis.group].neurons;
        }
        for (std::size_t i = first; i < strips_.size(); ++i)
            strip_of_[strips_[i].residents] = none;
    }

    [[nodiscard]] bool wanted(std::uint32_t number)
    {
        if (number >= known_.size())
            known_.resize((std::max)(classes_.size(), 2 * known_.size()), unknown);
        auto& known = known_[number];
        if (known == unknown)
            known = !stored_by_ || classes_[number].stored.contains(*stored_by_) ? yes : no;
        return known == yes;
    }

    /// The runs of a group whose class is wanted.
    [[nodiscard]] std::span<const residency::run> runs_of(group_id id)
    {
        const auto all = residency_.runs(id);
        auto& s = sifted_[index_of(id)];
        if (!s.done) {
            s.done = true;
            for (const auto& run : all)
                if (wanted(run.residents))
                    s.kept.push_back(run);
            s.all = s.kept.size() == all.size();
            if (s.all)
                s.kept = {}; // nothing was dropped: the residency's own runs serve
        }
        return s.all ? all : std::span<const residency::run>(s.kept);
    }

    /// Number of different residents on the axis of a group.
    [[nodiscard]] std::uint64_t count_sets(group_id id)
    {
        auto& s = sifted_[index_of(id)];
        if (s.sets == 0) {
            std::vector<bool> met(classes_.size(), false);
            for (const auto& run : residency_.runs(id))
                if (!met[run.residents]) {
                    met[run.residents] = true;
                    ++s.sets;
                }
        }
        return s.sets;
    }

    struct sifted_runs {
        std::uint64_t sets = 0; ///< 0 until counted
        bool done = false;
        bool all = false; ///< nothing was dropped, so `kept` is empty
        std::vector<residency::run> kept;
    };

    enum answer : std::uint8_t { unknown, no, yes };

    const model& model_;
    const residency& residency_;
    std::optional<int> stored_by_;
    resident_classes classes_; ///< grows by intersections
    std::vector<answer> known_; ///< by class
    std::vector<sifted_runs> sifted_; ///< by group
    std::vector<strip> strips_;
    std::vector<interval> intervals_; ///< the runs of the strips, strip after strip
    std::vector<std::uint32_t> met_; ///< class of each run of the current box
    std::vector<std::uint32_t> strip_of_; ///< by class, for the current box
};

} // namespace sdp::detail
