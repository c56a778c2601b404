// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Copies values between the tensors and the buffers of messages.

#include <sdp/detail/elements/element_dispatch.hpp>
#include <sdp/detail/elements/local_tensor.hpp>
#include <sdp/detail/host/value_exchange.hpp>
#include <sdp/src/separate.hpp>

namespace sdp::detail {

template <class T>
inline void value_packer::pack(const bucket& b, std::span<const std::vector<tensor_view>> values, std::byte* buffer)
{
    walker_.begin_values(b);
    for (const auto p : b.parameters)
        for (const auto& piece : plan_->of(p))
            if (walker_.owner_of(piece) == peer_table::self && !values[p].empty()) {
                const local_tensor<T> own(values[p][piece.slab]);
                walker_.values(
                    piece, [&](std::uint32_t, std::size_t at) { own.gather(*plan_, piece, reinterpret_cast<T*>(buffer) + at); },
                    [](std::uint32_t, std::size_t) {});
            }
}

template <class T>
inline void value_packer::unpack(const bucket& b, std::span<const std::vector<tensor_view>> values, std::byte* buffer)
{
    walker_.begin_values(b);
    for (const auto p : b.parameters)
        for (const auto& piece : plan_->of(p))
            walker_.values(
                piece, [](std::uint32_t, std::size_t) {},
                [&](std::uint32_t, std::size_t at) {
                    local_tensor<T>(values[p][piece.slab]).scatter(*plan_, piece, reinterpret_cast<const T*>(buffer) + at);
                });
}

SDP_INLINE void value_packer::pack(const bucket& b, std::span<const std::vector<tensor_view>> values, std::byte* buffer)
{
    with_element_type(b.type, [&]<class T>(T) { pack<T>(b, values, buffer); });
}

SDP_INLINE void value_packer::unpack(const bucket& b, std::span<const std::vector<tensor_view>> values, std::byte* buffer)
{
    with_element_type(b.type, [&]<class T>(T) { unpack<T>(b, values, buffer); });
}

} // namespace sdp::detail
