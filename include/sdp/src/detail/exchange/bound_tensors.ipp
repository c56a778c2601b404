// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Checks the host's tensors.

#include <sdp/detail/exchange/bound_tensors.hpp>
#include <sdp/src/separate.hpp>

namespace sdp::detail {

SDP_INLINE parameter_id bound_tensors::known(parameter_id id) const
{
    if (index_of(id) >= gradients_.size())
        fail("parameter number ", index_of(id), " was named, but the model has ", gradients_.size());
    return id;
}

SDP_INLINE tensor_view bound_tensors::checked(
    const tensor_view& view, parameter_id id, const extents& shape, std::string_view what) const
{
    const auto out = checked(view, id, shape, what, space_);
    if (contiguous_ && !out.contiguous())
        fail("parameter '", name(id), "': the ", what, " on rank ", subnetwork_->rank(),
            " is not contiguous; expected it to be, as on any stream");
    return out;
}

SDP_INLINE tensor_view bound_tensors::checked(
    const tensor_view& view, parameter_id id, const extents& shape, std::string_view what, memory_space space) const
{
    const auto type = (*model_)[id].type();
    if (view.type != type)
        fail("parameter '", name(id), "': the ", what, " on rank ", subnetwork_->rank(), " has element type ", name_of(view.type),
            "; expected ", name_of(type));
    if (const auto fitting = fit(view, shape, space))
        return *fitting;
    fail_to_fit(view, shape, text("parameter '", name(id), "': the ", what, " on rank ", subnetwork_->rank()), space);
}

SDP_INLINE tensor_view bound_tensors::checked_gradient(const tensor_view& view, parameter_id id) const
{
    return checked(view, id, subnetwork_->shape(id), "gradient");
}

SDP_INLINE std::vector<std::size_t> bound_tensors::gradient_sizes() const
{
    std::vector<std::size_t> out(gradients_.size(), 0);
    for (std::size_t p = 0; p < out.size(); ++p)
        if (const auto id = parameter_id(p); subnetwork_->trains(id))
            out[p] = static_cast<std::size_t>(subnetwork_->shape(id).product()) * size_of((*model_)[id].type());
    return out;
}

SDP_INLINE void bound_tensors::bind_value(parameter_id id, std::size_t slab, const tensor_view& view)
{
    const auto slabs = subnetwork_->slabs(known(id));
    if (slab >= slabs.size())
        fail("parameter '", name(id), "' has ", slabs.size(), " local tensors on rank ", subnetwork_->rank(), "; number ", slab,
            " was bound");
    values_[index_of(id)][slab] = checked(view, id, slabs[slab].shape, "value");
}

SDP_INLINE const tensor_view& bound_tensors::gradient(parameter_id id) const
{
    const auto& view = gradients_[index_of(id)];
    if (view.data == nullptr)
        fail("no gradient is bound for parameter '", name(id), "' on rank ", subnetwork_->rank(),
            "; bind one or pass it to ready");
    return view;
}

SDP_INLINE const tensor_view& bound_tensors::value(parameter_id id, std::size_t slab) const
{
    const auto& view = values_[index_of(id)][slab];
    if (view.data == nullptr)
        fail("the values of parameter '", name(id), "' (local tensor ", slab, ") are not bound on rank ", subnetwork_->rank(),
            "; bind them first");
    return view;
}

} // namespace sdp::detail
