// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Computes the elements of every parameter that a worker stores and trains.

#include <sdp/src/separate.hpp>
#include <sdp/subnetwork.hpp>

#include <utility>

namespace sdp {

SDP_INLINE subnetwork::subnetwork(const model& m, const residency& r, int rank, value_layout layout)
    : rank_(rank)
    , world_(r.world())
    , layout_(layout)
{
    if (rank < 0 || rank >= world_)
        detail::fail("a subnetwork was asked for rank ", rank, "; expected 0 to ", world_ - 1);
    // Computed once for every class, not for every run.
    std::vector<bool> stored, trained;
    for (std::uint32_t number = 0; number < r.classes().size(); ++number) {
        stored.push_back(r[number].stored.contains(rank));
        trained.push_back(r[number].trained.contains(rank));
    }
    for (std::size_t g = 0; g < m.groups().size(); ++g) {
        stored_neurons_.push_back(select(r.runs(group_id(g)), stored));
        trained_neurons_.push_back(select(r.runs(group_id(g)), trained));
    }
    for (std::size_t b = 0; b < m.blocks().size(); ++b) {
        stored_blocks_.push_back(r[r.of(block_id(b))].stored.contains(rank));
        trained_blocks_.push_back(r[r.of(block_id(b))].trained.contains(rank));
    }
    for (std::size_t p = 0; p < m.parameters().size(); ++p) {
        first_.push_back(slabs_.size());
        names_.push_back(m.parameters()[p].name);
        add_slabs(m, parameter_id(p));
    }
    first_.push_back(slabs_.size());
}

SDP_INLINE const extents& subnetwork::shape(parameter_id id) const
{
    if (!stores(id))
        detail::fail("parameter '", names_[index_of(id)], "' has no shape on rank ", rank_, ": nothing of it is stored there");
    return slabs(id).front().shape;
}

SDP_INLINE index_t subnetwork::stored_elements() const noexcept
{
    index_t out = 0;
    for (const auto& s : slabs_)
        out += s.size();
    return out;
}

SDP_INLINE index_t subnetwork::gradient_elements() const noexcept
{
    index_t out = 0;
    for (const auto& s : slabs_)
        out += s.trained ? s.size() : 0;
    return out;
}

SDP_INLINE std::vector<interval> subnetwork::select(std::span<const residency::run> runs, const std::vector<bool>& classes)
{
    std::vector<interval> out;
    for (const auto& run : runs)
        if (classes[run.residents]) {
            if (!out.empty() && out.back().end == run.begin)
                out.back().end = run.end;
            else
                out.push_back({run.begin, run.end});
        }
    return out;
}

SDP_INLINE std::vector<interval> subnetwork::scaled(
    const std::vector<interval>& selection, const neuron_axis& axis, index_t neurons)
{
    std::vector<interval> out;
    index_t first = 0;
    for (const index_t elements : detail::fused_parts(axis)) {
        for (const auto& i : selection) {
            const interval next {first + i.begin * elements, first + i.end * elements};
            if (!out.empty() && out.back().end == next.begin)
                out.back().end = next.end;
            else
                out.push_back(next);
        }
        first += neurons * elements;
    }
    return out;
}

SDP_INLINE std::vector<interval> subnetwork::without(const std::vector<interval>& all, const std::vector<interval>& taken)
{
    std::vector<interval> out;
    auto t = taken.begin();
    for (auto i : all) {
        for (; t != taken.end() && t->begin < i.end; ++t) {
            if (i.begin < t->begin)
                out.push_back({i.begin, t->begin});
            i.begin = t->end;
        }
        if (i.begin < i.end)
            out.push_back(i);
    }
    return out;
}

SDP_INLINE void subnetwork::add(parameter_id id, const extents& full_shape, bool trained, std::vector<std::vector<interval>> axes)
{
    extents shape;
    for (const auto& selection : axes) {
        index_t extent = 0;
        for (const auto& i : selection)
            extent += i.end - i.begin;
        if (extent == 0)
            return;
        shape.push_back(extent);
    }
    slabs_.push_back({id, trained, std::move(axes), shape, full_shape});
}

SDP_INLINE void subnetwork::add_slabs(const model& m, parameter_id id)
{
    const auto& p = m[id];
    if (p.where.within && !stores(*p.where.within))
        return;
    std::vector<std::vector<interval>> stored;
    for (const index_t extent : p.shape)
        stored.push_back({{0, extent}});
    auto trained = stored;
    bool any_trained = !p.where.within || trains(*p.where.within);
    for (const auto& axis : p.where.axes) {
        const auto at = static_cast<std::size_t>(axis.axis);
        stored[at] = scaled(stored_neurons_[index_of(axis.group)], axis, m[axis.group].neurons);
        trained[at] = scaled(trained_neurons_[index_of(axis.group)], axis, m[axis.group].neurons);
        any_trained = any_trained && !trained[at].empty();
    }
    if (layout_ == value_layout::whole || !any_trained) {
        add(id, p.shape, any_trained, std::move(stored));
        return;
    }
    add(id, p.shape, true, trained);
    // A product minus a product is no product, so the rest is divided axis by axis: trained selections on the axes before,
    // stored ones on the axes after.
    auto rest = stored;
    for (std::size_t axis = 0; axis < stored.size(); ++axis) {
        if (stored[axis] == trained[axis])
            continue;
        rest[axis] = without(stored[axis], trained[axis]);
        add(id, p.shape, false, rest);
        rest[axis] = trained[axis];
    }
}

} // namespace sdp
