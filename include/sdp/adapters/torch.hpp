// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Adapter for libtorch: `at::Tensor` as a tensor of the library. For libtorch 1.13 and later.
///
/// Strided tensors (transposed, narrowed, sliced) are read and written in place. The header includes only the tensor class:
/// `<torch/torch.h>` costs ten times as long to compile, and a user who needs it includes it anyway.

#include <sdp/error.hpp>
#include <sdp/tensor.hpp>

#include <ATen/core/Tensor.h>

namespace sdp {

template <> struct element_type_of<c10::Half> : std::integral_constant<element_type, element_type::f16> {
};
template <> struct element_type_of<c10::BFloat16> : std::integral_constant<element_type, element_type::bf16> {
};

/// Traits of `at::Tensor`. The tensor is a handle: views share its storage, and a const handle does not make its elements const.
///
/// @throws sdp::input_error for a tensor that is undefined, not strided, of another element type than f32, f64, f16 and bf16, on
///         another device than the host or a CUDA device, or broadcast (two indices name one element)
template <> struct tensor_traits<at::Tensor> {
    static void* data(const at::Tensor& t)
    {
        if (!t.defined())
            throw input_error("a tensor is undefined; a gradient is so until the first backward pass has reached its parameter");
        if (t.layout() != at::kStrided)
            throw input_error("a tensor is sparse or in a library's own layout; expected a strided one");
        if (t.is_neg() || t.is_conj())
            throw input_error("a tensor is a lazily negated or conjugated view; call resolve_neg() or resolve_conj() first");
        for (std::int64_t axis = 0; axis < t.dim(); ++axis)
            if (t.stride(axis) == 0 && t.size(axis) > 1)
                detail::fail(
                    "a tensor is broadcast along axis ", axis, ", so that elements share memory; call contiguous() first");
        return t.data_ptr();
    }
    static at::IntArrayRef shape(const at::Tensor& t) { return t.sizes(); }
    static at::IntArrayRef strides(const at::Tensor& t) { return t.strides(); }
    static element_type type(const at::Tensor& t)
    {
        switch (t.scalar_type()) {
        case at::kFloat:
            return element_type::f32;
        case at::kDouble:
            return element_type::f64;
        case at::kHalf:
            return element_type::f16;
        case at::kBFloat16:
            return element_type::bf16;
        default:
            detail::fail("a tensor has element type ", c10::toString(t.scalar_type()), "; expected f32, f64, f16 or bf16");
        }
    }
    static memory_space space(const at::Tensor& t)
    {
        if (t.is_cpu())
            return memory_space::host;
        if (t.is_cuda())
            return memory_space::cuda;
        detail::fail("a tensor is on device ", t.device().str(), "; expected the host or a CUDA device");
    }
};

} // namespace sdp
