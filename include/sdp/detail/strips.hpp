// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Cuts a parameter into strips: what has one class within one range of rows. The global order of all messages.

#include <sdp/masking/regime.hpp>
#include <sdp/subnetwork.hpp>

#include <algorithm>
#include <array>
#include <unordered_map>
#include <vector>

namespace sdp::detail {

/// The runs of one class on the last split axis, for a box of rows over the axes before it.
struct strip {
    std::array<index_t, max_axes> begin {}; ///< first row, in indices of the full tensor
    extents rows; ///< extents of the box on the axes before `axis`
    std::size_t axis = 0; ///< the last split axis; 0 if none is
    index_t inner = 1; ///< elements behind one index of `axis`
    std::uint32_t residents = 0;
    std::vector<interval> runs; ///< on `axis`, ascending

    [[nodiscard]] std::uint64_t row_count() const noexcept { return static_cast<std::uint64_t>(rows.product()); }
    [[nodiscard]] std::uint64_t row_elements() const noexcept
    {
        index_t out = 0;
        for (const auto& run : runs)
            out += run.end - run.begin;
        return static_cast<std::uint64_t>(out * inner);
    }
    [[nodiscard]] std::uint64_t elements() const noexcept { return row_count() * row_elements(); }
};

/// The strips of a parameter whose residents are `wanted`, in the global order: row-major over the runs of the split axes
/// before the last, then by the first run of the class.
///
/// `wanted` must hold for a set of residents whenever it holds for a subset, because axes are intersected one by one: so a
/// worker never looks at what it does not store, and still has the strips in everybody's order.
template <class Wanted>
[[nodiscard]] std::vector<strip> strips_of(
    const model& m, const residency& r, class_table& classes, parameter_id id, Wanted wanted)
{
    const auto& p = m[id];
    strip whole;
    whole.residents = p.where.within ? r.of(*p.where.within) : 0U;
    std::vector<neuron_axis> split;
    for (const auto& axis : p.where.axes)
        if (const auto runs = r.runs(axis.group); runs.size() == 1) // the same for the whole axis, so nothing is cut
            whole.residents = classes.intersect(whole.residents, runs[0].residents);
        else
            split.push_back(axis);
    if (!wanted(classes[whole.residents]))
        return {};
    std::sort(split.begin(), split.end(), [](const auto& a, const auto& b) { return a.axis < b.axis; });
    whole.axis = split.empty() ? 0 : static_cast<std::size_t>(split.back().axis);
    for (std::size_t axis = 0; axis < whole.axis; ++axis)
        whole.rows.push_back(p.shape[axis]);
    for (std::size_t axis = whole.axis + 1; axis < p.shape.size(); ++axis)
        whole.inner *= p.shape[axis];
    if (split.empty()) {
        whole.runs.push_back({0, p.shape.empty() ? 1 : p.shape[0]});
        return {whole};
    }

    std::vector<strip> boxes {whole};
    for (std::size_t i = 0; i + 1 < split.size(); ++i) {
        const auto at = static_cast<std::size_t>(split[i].axis);
        std::vector<strip> next;
        for (const auto& box : boxes)
            for (const auto& run : r.runs(split[i].group)) {
                const auto residents = classes.intersect(box.residents, run.residents);
                if (!wanted(classes[residents]))
                    continue;
                auto& part = next.emplace_back(box);
                part.residents = residents;
                part.begin[at] = run.begin * split[i].elements_per_neuron;
                part.rows[at] = (run.end - run.begin) * split[i].elements_per_neuron;
            }
        boxes = std::move(next);
    }

    std::vector<strip> out;
    std::unordered_map<std::uint32_t, std::size_t> of_class;
    for (const auto& box : boxes) {
        of_class.clear();
        for (const auto& run : r.runs(split.back().group)) {
            const auto residents = classes.intersect(box.residents, run.residents);
            const auto [at, added] = of_class.emplace(residents, out.size());
            if (added) {
                if (!wanted(classes[residents])) {
                    at->second = static_cast<std::size_t>(-1);
                    continue;
                }
                out.push_back(box);
                out.back().residents = residents;
            }
            if (at->second != static_cast<std::size_t>(-1))
                out[at->second].runs.push_back(
                    {run.begin * split.back().elements_per_neuron, run.end * split.back().elements_per_neuron});
        }
    }
    return out;
}

/// Local indices on one axis of a slab, found by bisection.
class axis_map {
public:
    explicit axis_map(const std::vector<interval>& selected)
        : selected_(&selected)
    {
        index_t before = 0;
        for (const auto& i : selected) {
            before_.push_back(before);
            before += i.end - i.begin;
        }
    }

    /// The local index of a full one, or −1 if it is not selected.
    [[nodiscard]] index_t operator()(index_t full) const noexcept
    {
        const auto after = std::upper_bound(
            selected_->begin(), selected_->end(), full, [](index_t x, const interval& i) { return x < i.begin; });
        if (after == selected_->begin() || full >= std::prev(after)->end)
            return -1;
        return before_[static_cast<std::size_t>(after - selected_->begin()) - 1] + full - std::prev(after)->begin;
    }

private:
    const std::vector<interval>* selected_;
    std::vector<index_t> before_;
};

} // namespace sdp::detail
