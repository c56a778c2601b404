// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The wire format of elements: unchanged, or rounded to a 16-bit type.
///
/// Elements are rounded once before the sum, to nearest with ties to even, and the mean is rounded once afterwards; the sum
/// itself has the tensors' own type. Routes that send nothing, as within a process, round in the same places, so the result does
/// not depend on the route.

#include <sdp/synchronizer_options.hpp>
#include <sdp/tensor.hpp>
#include <sdp/tiles/half.hpp>

namespace sdp::detail {

using tiles::bf16_bits, tiles::f16_bits, tiles::convert, tiles::rounded;

/// Bytes of a gradient's element in a message.
[[nodiscard]] constexpr std::size_t wire_size(element_type type, wire_format wire) noexcept
{
    return wire == wire_format::as_is || type != element_type::f32 ? size_of(type) : 2;
}

} // namespace sdp::detail
