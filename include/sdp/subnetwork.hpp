// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The subnetwork: one worker's compact local tensors, and their positions in the full ones.

#include <sdp/masking/residency.hpp>
#include <sdp/slab.hpp>

#include <vector>

namespace sdp {

/// Layout of the values of a parameter that a worker stores but trains only in part (backward masking).
///
/// With `whole` the values are one tensor and the gradient has the same shape; only the trained entries of the gradient are read
/// or written. With `split` the trained part is a compact tensor of its own, with a gradient of that shape, and further tensors
/// without gradients hold the frozen rest, so no gradient is computed in vain. Under forward masking the two are the same.
enum class value_layout : std::uint8_t { whole, split };

/// The elements that one worker stores and trains.
class subnetwork {
public:
    /// @throws sdp::error if `rank` is outside the world
    subnetwork(const model& m, const residency& r, int rank, value_layout layout = value_layout::whole)
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

    [[nodiscard]] int rank() const noexcept { return rank_; }
    [[nodiscard]] int world() const noexcept { return world_; }
    [[nodiscard]] value_layout layout() const noexcept { return layout_; }

    /// The local tensors of a parameter: the trained one first, if there is one. Empty if this worker stores none of it.
    [[nodiscard]] std::span<const slab> slabs(parameter_id id) const noexcept
    {
        return std::span(slabs_).subspan(first_[index_of(id)], first_[index_of(id) + 1] - first_[index_of(id)]);
    }

    /// The place of a local tensor among the `slabs` of its parameter. A copy of one will do.
    /// @throws sdp::error unless it is one of this worker's
    [[nodiscard]] std::size_t number_of(const slab& s) const
    {
        if (index_of(s.parameter) + 1 >= first_.size())
            detail::fail("a local tensor of parameter number ", index_of(s.parameter), " was named, but the model has ",
                first_.size() - 1, " parameters");
        const auto mine = slabs(s.parameter);
        for (std::size_t i = 0; i < mine.size(); ++i)
            if (&mine[i] == &s || (mine[i].trained == s.trained && mine[i].axes == s.axes))
                return i;
        detail::fail("parameter '", names_[index_of(s.parameter)], "': a local tensor of shape ", s.shape,
            " was named that rank ", rank_, " does not keep; expected one of the ", mine.size(), " in slabs(id)");
    }

    /// True if this worker stores, or trains, any element.
    [[nodiscard]] bool stores(parameter_id id) const noexcept { return !slabs(id).empty(); }
    [[nodiscard]] bool trains(parameter_id id) const noexcept { return stores(id) && slabs(id).front().trained; }
    [[nodiscard]] bool stores(block_id id) const noexcept { return stored_blocks_[index_of(id)]; }
    [[nodiscard]] bool trains(block_id id) const noexcept { return trained_blocks_[index_of(id)]; }

    /// The neurons of a group that this worker stores, or trains.
    [[nodiscard]] std::span<const interval> neurons(group_id id) const noexcept { return stored_neurons_[index_of(id)]; }
    [[nodiscard]] std::span<const interval> trained_neurons(group_id id) const noexcept { return trained_neurons_[index_of(id)]; }

    /// The local shape of a parameter: of the trained part under `split`, otherwise of the stored part.
    /// @throws sdp::error if this worker stores none of it
    [[nodiscard]] const extents& shape(parameter_id id) const
    {
        if (!stores(id))
            detail::fail(
                "parameter '", names_[index_of(id)], "' has no shape on rank ", rank_, ": nothing of it is stored there");
        return slabs(id).front().shape;
    }

    /// Number of elements whose value this worker keeps.
    [[nodiscard]] index_t stored_elements() const noexcept
    {
        index_t out = 0;
        for (const auto& s : slabs_)
            out += s.size();
        return out;
    }

    /// Number of elements of the local tensors that have a gradient: with `split`, exactly the trained elements.
    [[nodiscard]] index_t gradient_elements() const noexcept
    {
        index_t out = 0;
        for (const auto& s : slabs_)
            out += s.trained ? s.size() : 0;
        return out;
    }

private:
    [[nodiscard]] static std::vector<interval> select(std::span<const residency::run> runs, const std::vector<bool>& classes)
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

    /// The elements of the selected neurons on an axis, fused part after fused part.
    [[nodiscard]] static std::vector<interval> scaled(
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

    [[nodiscard]] static std::vector<interval> without(const std::vector<interval>& all, const std::vector<interval>& taken)
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

    void add(parameter_id id, const extents& full_shape, bool trained, std::vector<std::vector<interval>> axes)
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

    void add_slabs(const model& m, parameter_id id)
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

    int rank_;
    int world_;
    value_layout layout_;
    std::vector<slab> slabs_;
    std::vector<std::size_t> first_;
    std::vector<std::string> names_;
    std::vector<std::vector<interval>> stored_neurons_, trained_neurons_;
    std::vector<bool> stored_blocks_, trained_blocks_;
};

} // namespace sdp
