// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief What elements are while they travel: as they are, or rounded to a 16-bit type.
///
/// Rounded once on the way to the sum, to nearest with ties to even, and the mean once on the way back; the sum itself is in the
/// tensors' own type. Where nothing travels, as within a process, the same roundings are made, so that the route does not show
/// in the result.

#include <sdp/synchronizer_options.hpp>
#include <sdp/tensor.hpp>

#include <bit>
#include <cstdint>
#include <type_traits>

namespace sdp::detail {

/// The upper half of a float.
struct bf16_bits {
    std::uint16_t bits;
};
/// IEEE 754 binary16.
struct f16_bits {
    std::uint16_t bits;
};

[[nodiscard]] inline bf16_bits to_bf16(float x) noexcept
{
    const auto bits = std::bit_cast<std::uint32_t>(x);
    const auto rounded = static_cast<std::uint16_t>((bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16);
    const auto quiet = static_cast<std::uint16_t>(bits >> 16 | 0x40U);
    return {(bits & 0x7FFFFFFFU) > 0x7F800000U ? quiet : rounded}; // rounding could turn a NaN into an infinity
}
[[nodiscard]] inline float from_bits(bf16_bits x) noexcept
{
    return std::bit_cast<float>(std::uint32_t {x.bits} << 16);
}

[[nodiscard]] inline f16_bits to_f16(float x) noexcept
{
    const auto bits = std::bit_cast<std::uint32_t>(x);
    const std::uint32_t sign = bits >> 16 & 0x8000U, magnitude = bits & 0x7FFFFFFFU;
    // Normal numbers: the exponent is rebased and the 13 lower bits are rounded off; carries go where they should.
    const std::uint32_t normal = (magnitude - 0x38000000U + 0xFFFU + (magnitude >> 13 & 1U)) >> 13;
    // Below 2^-14, adding 0.5 lets the hardware round to a multiple of 2^-24, whose count are the lower bits of the sum.
    const std::uint32_t small = std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + 0.5F) - 0x3F000000U;
    const std::uint32_t huge = magnitude > 0x7F800000U ? 0x7E00U : 0x7C00U;
    return {static_cast<std::uint16_t>(sign | (magnitude < 0x38800000U ? small : magnitude < 0x47800000U ? normal : huge))};
}
[[nodiscard]] inline float from_bits(f16_bits x) noexcept
{
    const std::uint32_t sign = (x.bits & 0x8000U) << 16, magnitude = x.bits & 0x7FFFU;
    // Rebased by a multiplication, which is exact and also right for numbers below 2^-14.
    const float finite = std::bit_cast<float>(magnitude << 13) * 0x1p112F;
    const std::uint32_t other = 0x7F800000U | (magnitude & 0x3FFU) << 13;
    return std::bit_cast<float>(sign | (magnitude < 0x7C00U ? std::bit_cast<std::uint32_t>(finite) : other));
}

/// Between a tensor's type and that of the wire, either way.
template <class To, class From> [[nodiscard]] inline To convert(From x) noexcept
{
    if constexpr (std::is_same_v<To, From>)
        return x;
    else if constexpr (std::is_same_v<To, bf16_bits>)
        return to_bf16(x);
    else if constexpr (std::is_same_v<To, f16_bits>)
        return to_f16(x);
    else
        return from_bits(x);
}

/// What is left of a tensor's element when it has travelled.
template <class Wire, class T> [[nodiscard]] inline T rounded(T x) noexcept
{
    return convert<T>(convert<Wire>(x));
}

/// Bytes of a gradient's element while it travels.
[[nodiscard]] constexpr std::size_t wire_size(element_type type, wire_format wire) noexcept
{
    return wire == wire_format::as_is || type != element_type::f32 ? size_of(type) : 2;
}

/// Calls `f` with a value of the C++ type behind an element type, and one of what travels.
/// @throws sdp::error for a type that gradients cannot have yet
template <class F> decltype(auto) with_types(element_type type, wire_format wire, F&& f)
{
    if (type == element_type::f64)
        return f(double {}, double {});
    if (type != element_type::f32)
        fail("elements of type ", name_of(type), " are not exchanged; expected f32 or f64");
    switch (wire) {
    case wire_format::bf16:
        return f(float {}, bf16_bits {});
    case wire_format::f16:
        return f(float {}, f16_bits {});
    case wire_format::as_is:
        break;
    }
    return f(float {}, float {});
}

} // namespace sdp::detail
