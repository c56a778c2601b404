// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Element dispatch: calls a function with the C++ type of a run-time element type.

#include <sdp/detail/elements/wire.hpp>
#include <sdp/synchronizer_options.hpp>
#include <sdp/tensor.hpp>

#include <cstdint>
#include <type_traits>

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
/// @throws sdp::input_error for a type that gradients cannot have yet
template <class F> decltype(auto) with_element_type(element_type type, F&& f)
{
    return with_storage_type(type, [&]<class T>(T value) -> decltype(f(float {})) {
        if constexpr (std::is_floating_point_v<T>)
            return f(value);
        else
            fail("elements of type ", name_of(type), " are not exchanged; expected f32 or f64");
    });
}

/// Calls `f` with a value of the C++ type behind an element type, and one of the type that travels in its place.
/// @throws sdp::input_error for a type that gradients cannot have yet
template <class F> decltype(auto) with_types(element_type type, wire_format wire, F&& f)
{
    return with_element_type(type, [&]<class T>(T value) -> decltype(f(float {}, float {})) {
        if constexpr (std::is_same_v<T, float>) {
            if (wire == wire_format::bf16)
                return f(value, bf16_bits {});
            if (wire == wire_format::f16)
                return f(value, f16_bits {});
        }
        return f(value, value);
    });
}

} // namespace sdp::detail
