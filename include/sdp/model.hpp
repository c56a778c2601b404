// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The description of a model: parameters, neuron groups and blocks. No tensors, no tracer.
///
/// Two statements describe MLPs, gated MLPs, convolutions with their batch-norm, multi-head and grouped-query attention, and
/// whole residual blocks: "this axis of the parameter counts those neurons" and "the parameter belongs to that block". A
/// parameter with neither statement is pinned: every worker holds it.

#include <sdp/tensor.hpp>

#include <algorithm>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace sdp {

/// Handles of parts of a model; their numbers count from zero in order of declaration.
enum class parameter_id : std::uint32_t {};
enum class group_id : std::uint32_t {};
enum class block_id : std::uint32_t {};

/// The number of a handle, for indexing a host's own arrays.
template <class Id>
requires std::is_enum_v<Id>
[[nodiscard]] constexpr std::size_t index_of(Id id) noexcept
{
    return static_cast<std::size_t>(id);
}

/// An inner dimension that can be split over the workers: hidden units, heads, channels.
struct neuron_group {
    std::string name;
    index_t neurons = 0; ///< number of neurons, ≥ 1
    double cost_per_neuron = 0; ///< in any unit; 0 means the elements of all parameters per neuron
};

/// A residual branch; a worker holds all of it or nothing.
struct block {
    std::string name;
    double cost = 0; ///< in any unit; 0 means the elements of all its parameters
};

/// The statement "this axis of the parameter is that neuron group".
struct neuron_axis {
    int axis = 0;
    group_id group {};
    index_t elements_per_neuron = 0; ///< e.g. the head dimension; 0 means extent / neurons, which must divide
    /// Elements per neuron in each part of a fused axis, in order: several matrices on the same neurons, one behind another,
    /// such as query, key and value in one weight. Each part has all neurons. Empty where nothing is fused.
    std::vector<index_t> fused {};
};

/// The rows of a matrix (axis 0 of any tensor) are that neuron group: `{.axes = {rows(hidden)}}`.
[[nodiscard]] inline neuron_axis rows(group_id group, index_t rows_per_neuron = 0)
{
    return {0, group, rows_per_neuron};
}

/// The same for a fused weight, of several matrices, one below another; `rows_per_neuron` has a number for each. With a
/// query for each of four heads that share a key and a value: `rows(kv_heads, {4 * dimension, dimension, dimension})`.
[[nodiscard]] inline neuron_axis rows(group_id group, std::vector<index_t> rows_per_neuron)
{
    return {0, group, 0, std::move(rows_per_neuron)};
}

/// The columns of a matrix (axis 1 of any tensor) are that neuron group.
[[nodiscard]] inline neuron_axis columns(group_id group, index_t columns_per_neuron = 0)
{
    return {1, group, columns_per_neuron};
}

/// The same for a fused weight, of several matrices, side by side.
[[nodiscard]] inline neuron_axis columns(group_id group, std::vector<index_t> columns_per_neuron)
{
    return {1, group, 0, std::move(columns_per_neuron)};
}

namespace detail {
    /// Elements per neuron in each fused part of an axis of a model, which are one or more.
    [[nodiscard]] inline std::span<const index_t> fused_parts(const neuron_axis& axis) noexcept
    {
        return axis.fused.empty() ? std::span(&axis.elements_per_neuron, 1) : std::span(axis.fused);
    }
} // namespace detail

/// The block and the neuron groups of a parameter, and its element type.
struct placement {
    std::optional<block_id> within {}; ///< the block that contains it
    std::vector<neuron_axis> axes {}; ///< its axes that are neuron groups; each axis at most once
    element_type type = element_type::f32; ///< of its values and of its gradient
};

/// A named tensor of the model, at its full size.
struct parameter {
    std::string name;
    extents shape;
    placement where;

    [[nodiscard]] index_t size() const noexcept { return shape.product(); }
    [[nodiscard]] element_type type() const noexcept { return where.type; }
    [[nodiscard]] bool maskable() const noexcept { return where.within.has_value() || !where.axes.empty(); }
};

/// The description of a model. A value; every worker builds the same one.
class model {
public:
    /// Declares a neuron group.
    /// @throws sdp::input_error on an empty or repeated name, fewer than one neuron, or a negative cost
    group_id add_group(std::string name, index_t neurons, double cost_per_neuron = 0);

    /// Declares a block.
    /// @throws sdp::input_error on an empty or repeated name, or a negative cost
    block_id add_block(std::string name, double cost = 0);

    /// Declares a parameter and its full shape. Declare parameters in forward order, because gradients are expected in reverse.
    /// @throws sdp::input_error on an empty or repeated name, an extent below 1, an axis out of range or given twice, a group
    /// whose
    ///         neurons do not divide the axis, or an unknown group or block
    parameter_id add_parameter(std::string name, extents shape, placement where = {});

    /// Checks conditions that need the complete description.
    /// @throws sdp::input_error on a model without parameters, or a group or block that no parameter uses
    void validate() const;

    [[nodiscard]] std::span<const parameter> parameters() const noexcept { return parameters_; }
    [[nodiscard]] std::span<const neuron_group> groups() const noexcept { return groups_; }
    [[nodiscard]] std::span<const block> blocks() const noexcept { return blocks_; }

    [[nodiscard]] const parameter& operator[](parameter_id id) const noexcept { return parameters_[index_of(id)]; }
    [[nodiscard]] const neuron_group& operator[](group_id id) const noexcept { return groups_[index_of(id)]; }
    [[nodiscard]] const block& operator[](block_id id) const noexcept { return blocks_[index_of(id)]; }

    /// The parameter of that name.
    /// @throws sdp::input_error if the model has none
    [[nodiscard]] parameter_id find(std::string_view name) const;

    /// The cost of one neuron of the group to a holder: the declared cost, or else the number of its elements.
    [[nodiscard]] double cost_per_neuron(group_id id) const noexcept
    {
        const double declared = groups_[index_of(id)].cost_per_neuron;
        return declared > 0 ? declared : static_cast<double>(elements_per_neuron_[index_of(id)]);
    }

    /// The cost of the block to a holder: the declared cost, or else the number of elements of its parameters.
    [[nodiscard]] double cost(block_id id) const noexcept
    {
        const double declared = blocks_[index_of(id)].cost;
        return declared > 0 ? declared : static_cast<double>(block_elements_[index_of(id)]);
    }

    /// The block that contains every parameter of the group, if there is one.
    [[nodiscard]] std::optional<block_id> enclosing_block(group_id id) const;

    /// Number of elements of the whole model.
    [[nodiscard]] index_t size() const noexcept { return size_; }

    /// Number of elements of the parameters that can be split.
    [[nodiscard]] index_t maskable_size() const noexcept;

private:
    using names = std::unordered_map<std::string, std::size_t>;

    static void check_name(std::string_view kind, const std::string& name, const names& known);

    static void check_cost(std::string_view kind, std::string_view name, double cost);

    void check_axis(std::string_view name, const extents& shape, std::vector<neuron_axis>& axes, std::size_t i) const;

    [[nodiscard]] static index_t sum_of_parts(
        std::string_view name, index_t extent, const neuron_group& g, const neuron_axis& axis);

    std::vector<parameter> parameters_;
    index_t size_ = 0;
    std::vector<neuron_group> groups_;
    std::vector<block> blocks_;
    std::vector<index_t> elements_per_neuron_;
    std::vector<index_t> block_elements_;
    names parameter_names_, group_names_, block_names_;
};

} // namespace sdp

#ifndef SDP_SEPARATE_COMPILATION
#include <sdp/src/model.ipp>
#endif
