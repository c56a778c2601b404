// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Copies values between the tensors and the buffers of messages.

#include <sdp/detail/elements/element_dispatch.hpp>
#include <sdp/detail/host/value_exchange.hpp>
#include <sdp/src/separate.hpp>

#include <algorithm>

namespace sdp::detail {

SDP_INLINE void value_packer::pack(const bucket& b, std::span<const std::vector<tensor_view>> values, std::byte* buffer)
{
    with_element_type(b.type, [&]<class T>(T) { pack<T>(b, values, buffer); });
}

SDP_INLINE void value_packer::unpack(const bucket& b, std::span<const std::vector<tensor_view>> values, std::byte* buffer)
{
    with_element_type(b.type, [&]<class T>(T) { unpack<T>(b, values, buffer); });
}

template <class T>
inline void value_packer::pack(const bucket& b, std::span<const std::vector<tensor_view>> values, std::byte* buffer)
{
    std::fill(done_.begin(), done_.end(), std::size_t {0});
    for (const auto p : b.parameters)
        for (const auto& piece : plan_->of(p)) {
            const auto& m = peers_->classes[piece.sharing_class];
            if (m.trainers[piece.owner] != peer_table::self || values[p].empty())
                continue;
            const local_tensor<T> own(values[p][piece.slab]);
            const auto send = [&](std::uint32_t peer) {
                if (peer == peer_table::self)
                    return;
                own.gather(*plan_, piece, reinterpret_cast<T*>(buffer + b.peers[peer].values_out_at) + done_[peer]);
                done_[peer] += plan_->size_of(piece);
            };
            for (const auto peer : m.readers)
                send(peer);
            if (to_trainers_)
                for (const auto peer : m.trainers)
                    send(peer);
        }
}

template <class T>
inline void value_packer::unpack(const bucket& b, std::span<const std::vector<tensor_view>> values, std::byte* buffer)
{
    std::fill(done_.begin(), done_.end(), std::size_t {0});
    for (const auto p : b.parameters)
        for (const auto& piece : plan_->of(p)) {
            const auto owner = peers_->classes[piece.sharing_class].trainers[piece.owner];
            if (owner == peer_table::self || (plan_->class_of(piece).position >= 0 && !to_trainers_))
                continue;
            local_tensor<T>(values[p][piece.slab])
                .scatter(*plan_, piece, reinterpret_cast<const T*>(buffer + b.peers[owner].values_in_at) + done_[owner]);
            done_[owner] += plan_->size_of(piece);
        }
}

} // namespace sdp::detail
