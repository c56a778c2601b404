// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Exchange of fresh values, from their owners to all workers that store them.

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
    void pack(const bucket& b, std::span<const std::vector<tensor_view>> values, std::byte* buffer);
    void unpack(const bucket& b, std::span<const std::vector<tensor_view>> values, std::byte* buffer);

private:
    template <class T> void pack(const bucket& b, std::span<const std::vector<tensor_view>> values, std::byte* buffer);

    template <class T> void unpack(const bucket& b, std::span<const std::vector<tensor_view>> values, std::byte* buffer);

    const overlap_plan* plan_;
    piece_places walker_; ///< kept so that a step allocates nothing
};

/// Sends the owners' values to the workers that store without training, and under owner update to the trainers too: bucket by
/// bucket, so one buffer suffices.
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

#ifndef SDP_SEPARATE_COMPILATION
#include <sdp/src/detail/host/value_exchange.ipp>
#endif
