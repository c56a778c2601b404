// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The host's bound tensors, each checked against the model and the subnetwork.

#include <sdp/error.hpp>
#include <sdp/subnetwork.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace sdp::detail {

class bound_tensors {
public:
    /// @param space memory space of all tensors
    /// @param contiguous true if all tensors must be contiguous
    bound_tensors(const model& m, const subnetwork& s, memory_space space, bool contiguous)
        : model_(&m)
        , subnetwork_(&s)
        , space_(space)
        , contiguous_(contiguous)
        , gradients_(m.parameters().size())
        , values_(m.parameters().size())
    {
        for (std::size_t p = 0; p < values_.size(); ++p)
            values_[p].resize(s.slabs(parameter_id(p)).size());
    }

    /// @throws sdp::input_error unless the model has such a parameter
    [[nodiscard]] parameter_id known(parameter_id id) const;
    [[nodiscard]] const std::string& name(parameter_id id) const noexcept { return (*model_)[id].name; }

    /// The view, without axes that `shape` lacks. Runs on every step, so it builds an error message only for an error.
    /// @throws sdp::input_error unless the view has the parameter's element type and the shape `shape`
    [[nodiscard]] tensor_view checked(
        const tensor_view& view, parameter_id id, const extents& shape, std::string_view what) const;
    [[nodiscard]] tensor_view checked(
        const tensor_view& view, parameter_id id, const extents& shape, std::string_view what, memory_space space) const;
    [[nodiscard]] tensor_view checked_gradient(const tensor_view& view, parameter_id id) const;

    /// Bytes of each parameter's gradient; 0 for a parameter that is not trained.
    [[nodiscard]] std::vector<std::size_t> gradient_sizes() const;

    /// @throws sdp::input_error as `checked` does, or if there is no such slab
    void bind_value(parameter_id id, std::size_t slab, const tensor_view& view);
    /// Sets the gradient to a view that `checked` returned.
    void set_gradient(parameter_id id, const tensor_view& view) noexcept { gradients_[index_of(id)] = view; }

    /// @throws sdp::input_error if no value is bound
    [[nodiscard]] const tensor_view& gradient(parameter_id id) const;
    /// @throws sdp::input_error if no value is bound
    [[nodiscard]] const tensor_view& value(parameter_id id, std::size_t slab) const;

    /// The gradients by parameter; null data until the host binds one.
    [[nodiscard]] const std::vector<tensor_view>& gradients() const noexcept { return gradients_; }
    /// The values by parameter and slab; null data until bound.
    [[nodiscard]] const std::vector<std::vector<tensor_view>>& values() const noexcept { return values_; }

private:
    const model* model_;
    const subnetwork* subnetwork_;
    memory_space space_;
    bool contiguous_;
    std::vector<tensor_view> gradients_;
    std::vector<std::vector<tensor_view>> values_;
};

} // namespace sdp::detail

#ifndef SDP_SEPARATE_COMPILATION
#include <sdp/src/detail/exchange/bound_tensors.ipp>
#endif
