// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Fresh values: from their owners to all who store them.

#include <sdp/detail/exchange/bucket_buffers.hpp>
#include <sdp/detail/exchange/message_round.hpp>
#include <sdp/detail/host/exchange_route.hpp>

#include <span>
#include <vector>

namespace sdp::detail {

/// Copies the values of a bucket to where they are sent from, and what has come in to the tensors.
class value_packer {
public:
    /// @param to_trainers whether values go to those who train too
    value_packer(const overlap_plan& plan, const peer_table& peers, bool to_trainers)
        : plan_(&plan)
        , peers_(&peers)
        , to_trainers_(to_trainers)
        , done_(peers.ranks.size())
    {
    }

    /// `values` are by parameter and slab; `buffer` is the bucket's.
    void pack(const bucket& b, std::span<const std::vector<tensor_view>> values, std::byte* buffer);
    void unpack(const bucket& b, std::span<const std::vector<tensor_view>> values, std::byte* buffer);

private:
    template <class T> void pack(const bucket& b, std::span<const std::vector<tensor_view>> values, std::byte* buffer);

    template <class T> void unpack(const bucket& b, std::span<const std::vector<tensor_view>> values, std::byte* buffer);

    const overlap_plan* plan_;
    const peer_table* peers_;
    bool to_trainers_;
    std::vector<std::size_t> done_; ///< by peer: elements; kept so that a step allocates nothing
};

/// Sends the owners' values to those who store without training, and under owner update to the trainers too. A bucket at a time,
/// so that one buffer serves.
template <communicator C> class value_exchange {
public:
    value_exchange(bucket_buffers& store, message_round<C>& round, const bucket_wait& wait)
        : store_(&store)
        , round_(&round)
        , wait_(wait)
        , packer_(store.plan(), store.peers(), store.values_to_trainers())
    {
    }

    void operator()()
    {
        for (std::size_t b = 0; b < store_->buckets().size(); ++b) {
            const auto& bucket = store_->buckets()[b];
            const std::size_t element = size_of(bucket.type);
            packer_.pack(bucket, store_->tensors().values(), store_->at(b, 0));
            for (std::size_t i = 0; i < bucket.peers.size(); ++i) {
                const auto& s = bucket.peers[i];
                round_->add(i, store_->at(b, s.values_out_at), s.values_out * element, store_->at(b, s.values_in_at),
                    s.values_in * element);
            }
            auto pending = round_->start(b, round_kind::values);
            wait_(b, "fresh values", [&](auto limit) { pending.wait(limit); });
            packer_.unpack(bucket, store_->tensors().values(), store_->at(b, 0));
        }
    }

private:
    bucket_buffers* store_;
    message_round<C>* round_;
    bucket_wait wait_;
    value_packer packer_;
};

} // namespace sdp::detail

#ifndef SDP_SEPARATE_COMPILATION
#include <sdp/src/detail/host/value_exchange.ipp>
#endif
