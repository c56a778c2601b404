// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Conversions between float and the 16-bit element types. The same bits on the host and on a device.

#include <sdp/tiles/host_device.hpp>

#include <cstdint>
#include <type_traits>

namespace sdp::tiles {

/// Reinterprets the bits as another type.
template <class To, class From> [[nodiscard]] SDP_HOST_DEVICE inline To bits_as(From x) noexcept
{
    static_assert(sizeof(To) == sizeof(From));
    return __builtin_bit_cast(To, x);
}

/// Bfloat16: the upper half of a float.
struct bf16_bits {
    std::uint16_t bits;
};
/// IEEE 754 binary16.
struct f16_bits {
    std::uint16_t bits;
};

[[nodiscard]] SDP_HOST_DEVICE inline bf16_bits to_bf16(float x) noexcept
{
    const auto bits = bits_as<std::uint32_t>(x);
    const auto rounded = static_cast<std::uint16_t>((bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16);
    const auto quiet = static_cast<std::uint16_t>(bits >> 16 | 0x40U);
    return {(bits & 0x7FFFFFFFU) > 0x7F800000U ? quiet : rounded}; // rounding could turn a NaN into an infinity
}
[[nodiscard]] SDP_HOST_DEVICE inline float from_bits(bf16_bits x) noexcept
{
    return bits_as<float>(std::uint32_t {x.bits} << 16);
}

[[nodiscard]] SDP_HOST_DEVICE inline f16_bits to_f16(float x) noexcept
{
    const auto bits = bits_as<std::uint32_t>(x);
    const std::uint32_t sign = bits >> 16 & 0x8000U, magnitude = bits & 0x7FFFFFFFU;
    // Normal numbers: the exponent is rebased and the 13 lower bits are rounded away; a carry increments the exponent, as it
    // must.
    const std::uint32_t normal = (magnitude - 0x38000000U + 0xFFFU + (magnitude >> 13 & 1U)) >> 13;
    // Below 2^-14, adding 0.5 makes the hardware round to a multiple of 2^-24, whose count is in the lower bits of the sum.
    const std::uint32_t subnormal = bits_as<std::uint32_t>(bits_as<float>(magnitude) + 0.5F) - 0x3F000000U;
    const std::uint32_t huge = magnitude > 0x7F800000U ? 0x7E00U : 0x7C00U;
    return {static_cast<std::uint16_t>(sign | (magnitude < 0x38800000U ? subnormal : magnitude < 0x47800000U ? normal : huge))};
}
[[nodiscard]] SDP_HOST_DEVICE inline float from_bits(f16_bits x) noexcept
{
    const std::uint32_t sign = (x.bits & 0x8000U) << 16, magnitude = x.bits & 0x7FFFU;
    // A multiplication rebases the exponent exactly, also for numbers below 2^-14.
    const float finite = bits_as<float>(magnitude << 13) * 0x1p112F;
    const std::uint32_t other = 0x7F800000U | (magnitude & 0x3FFU) << 13;
    return bits_as<float>(sign | (magnitude < 0x7C00U ? bits_as<std::uint32_t>(finite) : other));
}

/// Converts between the types of a tensor and of the wire, in both directions.
template <class To, class From> [[nodiscard]] SDP_HOST_DEVICE inline To convert(From x) noexcept
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

/// Rounds an element to the wire's type and back.
template <class Wire, class T> [[nodiscard]] SDP_HOST_DEVICE inline T rounded(T x) noexcept
{
    return convert<T>(convert<Wire>(x));
}

} // namespace sdp::tiles
