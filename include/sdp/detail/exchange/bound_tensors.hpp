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
    /// @param space memory space that all tensors must lie in
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

    /// @throws sdp::error unless the model has such a parameter
    [[nodiscard]] parameter_id known(parameter_id id) const
    {
        if (index_of(id) >= gradients_.size())
            fail("parameter number ", index_of(id), " was named, but the model has ", gradients_.size());
        return id;
    }
    [[nodiscard]] const std::string& name(parameter_id id) const noexcept { return (*model_)[id].name; }

    /// The view, without axes that `shape` lacks. Runs on every step, so it builds an error message only for an error.
    /// @throws sdp::error unless the view has the parameter's element type and the shape `shape`
    [[nodiscard]] tensor_view checked(const tensor_view& view, parameter_id id, const extents& shape, std::string_view what) const
    {
        const auto out = checked(view, id, shape, what, space_);
        if (contiguous_ && !out.contiguous())
            fail("parameter '", name(id), "': the ", what, " on rank ", subnetwork_->rank(),
                " is not contiguous; expected it to be, as on any stream");
        return out;
    }
    [[nodiscard]] tensor_view checked(
        const tensor_view& view, parameter_id id, const extents& shape, std::string_view what, memory_space space) const
    {
        const auto type = (*model_)[id].type();
        if (view.type != type)
            fail("parameter '", name(id), "': the ", what, " on rank ", subnetwork_->rank(), " has element type ",
                name_of(view.type), "; expected ", name_of(type));
        if (const auto fitting = fit(view, shape, space))
            return *fitting;
        fail_to_fit(view, shape, text("parameter '", name(id), "': the ", what, " on rank ", subnetwork_->rank()), space);
    }
    [[nodiscard]] tensor_view checked_gradient(const tensor_view& view, parameter_id id) const
    {
        return checked(view, id, subnetwork_->shape(id), "gradient");
    }

    /// Bytes of each parameter's gradient; 0 for a parameter that is not trained.
    [[nodiscard]] std::vector<std::size_t> gradient_sizes() const
    {
        std::vector<std::size_t> out(gradients_.size(), 0);
        for (std::size_t p = 0; p < out.size(); ++p)
            if (const auto id = parameter_id(p); subnetwork_->trains(id))
                out[p] = static_cast<std::size_t>(subnetwork_->shape(id).product()) * size_of((*model_)[id].type());
        return out;
    }

    /// @throws sdp::error as `checked` does, or if there is no such slab
    void bind_value(parameter_id id, std::size_t slab, const tensor_view& view)
    {
        const auto slabs = subnetwork_->slabs(known(id));
        if (slab >= slabs.size())
            fail("parameter '", name(id), "' has ", slabs.size(), " local tensors on rank ", subnetwork_->rank(), "; number ",
                slab, " was bound");
        values_[index_of(id)][slab] = checked(view, id, slabs[slab].shape, "value");
    }
    /// Sets the gradient to a view that `checked` returned.
    void set_gradient(parameter_id id, const tensor_view& view) noexcept { gradients_[index_of(id)] = view; }

    /// @throws sdp::error if no gradient is bound
    [[nodiscard]] const tensor_view& gradient(parameter_id id) const
    {
        const auto& view = gradients_[index_of(id)];
        if (view.data == nullptr)
            fail("no gradient is bound for parameter '", name(id), "' on rank ", subnetwork_->rank(),
                "; bind one or pass it to ready");
        return view;
    }
    /// @throws sdp::error if no value is bound
    [[nodiscard]] const tensor_view& value(parameter_id id, std::size_t slab) const
    {
        const auto& view = values_[index_of(id)][slab];
        if (view.data == nullptr)
            fail("the values of parameter '", name(id), "' (local tensor ", slab, ") are not bound on rank ", subnetwork_->rank(),
                "; bind them first");
        return view;
    }

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
