// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Element dispatch: calls a function with the C++ type of a run-time element type.

#include <sdp/tensor.hpp>

#include <cstdint>

namespace sdp::detail {

/// Calls `f` with a value of a C++ type of the element's size, for callers that only copy elements.
template <class F> decltype(auto) with_storage_type(element_type type, F&& f)
{
    switch (type) {
    case element_type::f64:
        return f(double {});
    case element_type::f16:
    case element_type::bf16:
        return f(std::uint16_t {});
    case element_type::f32:
        break;
    }
    return f(float {});
}

/// Calls `f` with a value of the C++ type of an element type.
/// @throws sdp::error for a type that gradients cannot have yet
template <class F> decltype(auto) with_element_type(element_type type, F&& f)
{
    switch (type) {
    case element_type::f32:
        return f(float {});
    case element_type::f64:
        return f(double {});
    case element_type::f16:
    case element_type::bf16:
        break;
    }
    fail("elements of type ", name_of(type), " are not exchanged; expected f32 or f64");
}

} // namespace sdp::detail
