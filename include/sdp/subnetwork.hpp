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
    /// @throws sdp::input_error if `rank` is outside the world
    subnetwork(const model& m, const residency& r, int rank, value_layout layout = value_layout::whole);

    [[nodiscard]] int rank() const noexcept { return rank_; }
    [[nodiscard]] int world() const noexcept { return world_; }
    [[nodiscard]] value_layout layout() const noexcept { return layout_; }

    /// The local tensors of a parameter: the trained one first, if there is one. Empty if this worker stores none of it.
    [[nodiscard]] std::span<const slab> slabs(parameter_id id) const noexcept
    {
        return std::span(slabs_).subspan(first_[index_of(id)], first_[index_of(id) + 1] - first_[index_of(id)]);
    }

    /// The place of a local tensor among the `slabs` of its parameter. A copy of one will do.
    /// @throws sdp::input_error unless it is one of this worker's
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
    /// @throws sdp::input_error if this worker stores none of it
    [[nodiscard]] const extents& shape(parameter_id id) const;

    /// Number of elements whose value this worker keeps.
    [[nodiscard]] index_t stored_elements() const noexcept;

    /// Number of elements of the local tensors that have a gradient: with `split`, exactly the trained elements.
    [[nodiscard]] index_t gradient_elements() const noexcept;

private:
    [[nodiscard]] static std::vector<interval> select(std::span<const residency::run> runs, const std::vector<bool>& classes);

    /// The elements of the selected neurons on an axis, fused part after fused part.
    [[nodiscard]] static std::vector<interval> scaled(
        const std::vector<interval>& selection, const neuron_axis& axis, index_t neurons);

    [[nodiscard]] static std::vector<interval> without(const std::vector<interval>& all, const std::vector<interval>& taken);

    void add(parameter_id id, const extents& full_shape, bool trained, std::vector<std::vector<interval>> axes);

    void add_slabs(const model& m, parameter_id id);

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

#ifndef SDP_SEPARATE_COMPILATION
#include <sdp/src/subnetwork.ipp>
#endif
