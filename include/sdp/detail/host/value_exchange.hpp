// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Fresh values: from their owners to all who store them.

#include <sdp/detail/elements/element_dispatch.hpp>
#include <sdp/detail/exchange/bucket_buffers.hpp>
#include <sdp/detail/exchange/message_round.hpp>
#include <sdp/detail/host/exchange_route.hpp>

#include <span>
#include <vector>

namespace sdp::detail {

/// Copies the values of a bucket from the tensors to the buffer, and received values back to the tensors.
class value_packer {
public:
    explicit value_packer(const bucket_buffers& buffers)
        : plan_(&buffers.plan())
        , walker_(buffers.places())
    {
    }

    /// `values` are by parameter and slab; `buffer` is the bucket's.
    void pack(const bucket& b, std::span<const std::vector<tensor_view>> values, std::byte* buffer)
    {
        with_element_type(b.type, [&]<class T>(T) { pack<T>(b, values, buffer); });
    }
    void unpack(const bucket& b, std::span<const std::vector<tensor_view>> values, std::byte* buffer)
    {
        with_element_type(b.type, [&]<class T>(T) { unpack<T>(b, values, buffer); });
    }

private:
    template <class T> void pack(const bucket& b, std::span<const std::vector<tensor_view>> values, std::byte* buffer)
    {
        walker_.begin_values(b);
        for (const auto p : b.parameters)
            for (const auto& piece : plan_->of(p))
                if (walker_.owner_of(piece) == peer_table::self && !values[p].empty()) {
                    const local_tensor<T> own(values[p][piece.slab]);
                    walker_.values(
                        piece,
                        [&](std::uint32_t, std::size_t at) { own.gather(*plan_, piece, reinterpret_cast<T*>(buffer) + at); },
                        [](std::uint32_t, std::size_t) {});
                }
    }

    template <class T> void unpack(const bucket& b, std::span<const std::vector<tensor_view>> values, std::byte* buffer)
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

    const overlap_plan* plan_;
    piece_places walker_; ///< kept so that a step allocates nothing
};

/// Sends the owners' values to those who store without training, and under owner update to the trainers too. A bucket at a time,
/// so that one buffer serves.
template <communicator C> class value_exchange {
public:
    value_exchange(bucket_buffers& buffers, message_round<C>& round, const bucket_wait& wait)
        : buffers_(&buffers)
        , round_(&round)
        , wait_(wait)
        , packer_(buffers)
    {
    }

    void operator()()
    {
        for (std::size_t b = 0; b < buffers_->buckets().size(); ++b) {
            const auto& bucket = buffers_->buckets()[b];
            packer_.pack(bucket, buffers_->tensors().values(), buffers_->at(b, 0));
            round_->add_values(*buffers_, b);
            auto pending = round_->start(b, round_kind::values);
            wait_(b, "fresh values", [&](auto limit) { pending.wait(limit); });
            packer_.unpack(bucket, buffers_->tensors().values(), buffers_->at(b, 0));
        }
    }

private:
    bucket_buffers* buffers_;
    message_round<C>* round_;
    bucket_wait wait_;
    value_packer packer_;
};

} // namespace sdp::detail
