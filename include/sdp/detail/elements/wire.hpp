// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Format of elements while they travel: their own type, or rounded to a 16-bit type.
///
/// Rounded once on the way to the sum, to nearest with ties to even, and the mean once on the way back; the sum itself is in the
/// tensors' own type. Where nothing travels, as within a process, the same roundings are made, so that the route does not show
/// in the result.

#include <sdp/synchronizer_options.hpp>
#include <sdp/tensor.hpp>
#include <sdp/tiles/half.hpp>

namespace sdp::detail {

using tiles::bf16_bits, tiles::f16_bits, tiles::convert, tiles::rounded;

/// Bytes of a gradient's element while it travels.
[[nodiscard]] constexpr std::size_t wire_size(element_type type, wire_format wire) noexcept
{
    return wire == wire_format::as_is || type != element_type::f32 ? size_of(type) : 2;
}

} // namespace sdp::detail
