// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Checks a model while it is described.

#include <sdp/model.hpp>
#include <sdp/src/separate.hpp>

#include <limits>

namespace sdp {

SDP_INLINE group_id model::add_group(std::string name, index_t neurons, double cost_per_neuron)
{
    check_name("neuron group", name, group_names_);
    if (neurons < 1)
        detail::fail("neuron group '", name, "' has ", neurons, " neurons; expected at least 1");
    check_cost("neuron group", name, cost_per_neuron);
    group_names_.emplace(name, groups_.size());
    groups_.push_back({std::move(name), neurons, cost_per_neuron});
    elements_per_neuron_.push_back(0);
    return group_id(groups_.size() - 1);
}

SDP_INLINE block_id model::add_block(std::string name, double cost)
{
    check_name("block", name, block_names_);
    check_cost("block", name, cost);
    block_names_.emplace(name, blocks_.size());
    blocks_.push_back({std::move(name), cost});
    block_elements_.push_back(0);
    return block_id(blocks_.size() - 1);
}

SDP_INLINE parameter_id model::add_parameter(std::string name, extents shape, placement where)
{
    check_name("parameter", name, parameter_names_);
    for (const index_t extent : shape)
        if (extent < 1)
            detail::fail("parameter '", name, "' has shape ", shape, "; every extent must be at least 1");
    index_t room = (std::numeric_limits<index_t>::max)() - size_;
    for (const index_t extent : shape)
        room /= extent;
    if (room == 0)
        detail::fail("parameter '", name, "' has shape ", shape, ", with which the model has more than 2^63 − 1 elements");
    if (where.within && index_of(*where.within) >= blocks_.size())
        detail::fail("parameter '", name, "' lies in block number ", index_of(*where.within), ", but only ", blocks_.size(),
            " blocks are declared");
    for (std::size_t i = 0; i < where.axes.size(); ++i)
        check_axis(name, shape, where.axes, i);

    const index_t size = shape.product();
    size_ += size;
    for (const auto& axis : where.axes)
        elements_per_neuron_[index_of(axis.group)] += size / groups_[index_of(axis.group)].neurons;
    if (where.within)
        block_elements_[index_of(*where.within)] += size;
    parameter_names_.emplace(name, parameters_.size());
    parameters_.push_back({std::move(name), shape, std::move(where)});
    return parameter_id(parameters_.size() - 1);
}

SDP_INLINE void model::validate() const
{
    if (parameters_.empty())
        detail::fail("the model has no parameters; declare at least one");
    for (std::size_t g = 0; g < groups_.size(); ++g)
        if (elements_per_neuron_[g] == 0)
            detail::fail("neuron group '", groups_[g].name, "' is empty: no parameter has an axis in it");
    for (std::size_t b = 0; b < blocks_.size(); ++b)
        if (block_elements_[b] == 0)
            detail::fail("block '", blocks_[b].name, "' is empty: no parameter lies in it");
}

SDP_INLINE parameter_id model::find(std::string_view name) const
{
    const auto found = parameter_names_.find(std::string(name));
    if (found == parameter_names_.end())
        detail::fail("the model has no parameter '", name, "'");
    return parameter_id(found->second);
}

SDP_INLINE std::optional<block_id> model::enclosing_block(group_id id) const
{
    std::optional<block_id> out;
    bool first = true;
    for (const auto& p : parameters_)
        for (const auto& axis : p.where.axes)
            if (axis.group == id) {
                if (!first && out != p.where.within)
                    return std::nullopt;
                out = p.where.within;
                first = false;
            }
    return out;
}

SDP_INLINE index_t model::maskable_size() const noexcept
{
    index_t out = 0;
    for (const auto& p : parameters_)
        out += p.maskable() ? p.size() : 0;
    return out;
}

SDP_INLINE void model::check_name(std::string_view kind, const std::string& name, const names& known)
{
    if (name.empty())
        detail::fail("a ", kind, " has an empty name");
    if (known.contains(name))
        detail::fail("the ", kind, " name '", name, "' is used twice; names must be unique");
}

SDP_INLINE void model::check_cost(std::string_view kind, std::string_view name, double cost)
{
    if (!(cost >= 0) || cost > 1e300)
        detail::fail(kind, " '", name, "' has cost ", cost, "; expected a finite number ≥ 0, where 0 means its elements");
}

SDP_INLINE void model::check_axis(
    std::string_view name, const extents& shape, std::vector<neuron_axis>& axes, std::size_t i) const
{
    auto& [axis, group, per_neuron, fused] = axes[i];
    if (axis < 0 || static_cast<std::size_t>(axis) >= shape.size())
        detail::fail("parameter '", name, "' has shape ", shape, ", so it has no axis ", axis);
    if (index_of(group) >= groups_.size())
        detail::fail("parameter '", name, "': axis ", axis, " is in group number ", index_of(group), ", but only ",
            groups_.size(), " groups are declared");
    for (std::size_t j = 0; j < i; ++j) {
        if (axes[j].axis == axis)
            detail::fail("parameter '", name, "': axis ", axis, " is given twice; an axis is in at most one neuron group");
        if (axes[j].group == group)
            detail::fail("parameter '", name, "': neuron group '", groups_[index_of(group)].name, "' is given on axes ",
                axes[j].axis, " and ", axis, "; declare one group per axis");
    }
    const auto& g = groups_[index_of(group)];
    const index_t extent = shape[static_cast<std::size_t>(axis)];
    if (!fused.empty())
        per_neuron = sum_of_parts(name, extent, g, axes[i]);
    if (fused.size() == 1)
        fused.clear(); // nothing is fused
    if (per_neuron < 0)
        detail::fail(
            "parameter '", name, "': axis ", axis, " has ", per_neuron, " elements per neuron; expected ≥ 1, or 0 to derive it");
    if (per_neuron == 0) {
        if (extent % g.neurons != 0)
            detail::fail("parameter '", name, "': axis ", axis, " has extent ", extent, ", which the ", g.neurons,
                " neurons of group '", g.name, "' do not divide");
        per_neuron = extent / g.neurons;
    }
    const bool countable = per_neuron <= (std::numeric_limits<index_t>::max)() / g.neurons;
    if (!countable || per_neuron * g.neurons != extent)
        detail::fail("parameter '", name, "': axis ", axis, " has extent ", extent, ", but group '", g.name, "' has ", g.neurons,
            " neurons of ", per_neuron, " elements, which is ", countable ? detail::text(per_neuron * g.neurons) : "more");
}

SDP_INLINE index_t model::sum_of_parts(std::string_view name, index_t extent, const neuron_group& g, const neuron_axis& axis)
{
    index_t sum = 0;
    for (const index_t part : axis.fused) {
        if (part < 1)
            detail::fail("parameter '", name, "': axis ", axis.axis, " has fused parts of ", axis.fused,
                " elements per neuron; expected at least 1 in each");
        sum += (std::min)(part, extent);
    }
    if (sum > extent / g.neurons || sum * g.neurons != extent
        || (axis.elements_per_neuron != 0 && axis.elements_per_neuron != sum))
        detail::fail("parameter '", name, "': axis ", axis.axis, " has extent ", extent, " and ",
            axis.elements_per_neuron == 0 ? "" : detail::text(axis.elements_per_neuron, " elements per neuron in all, "),
            "fused parts of ", axis.fused, " elements for each of the ", g.neurons, " neurons of group '", g.name,
            "'; expected that they add up");
    return sum;
}

} // namespace sdp
