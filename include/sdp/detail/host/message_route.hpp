// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Gradients in messages: to their owners, and the means back; or, where two swap them, once.

#include <sdp/detail/exchange/message_round.hpp>
#include <sdp/detail/host/bucket_passes.hpp>
#include <sdp/detail/host/exchange_route.hpp>

#include <vector>

namespace sdp::detail {

template <communicator C> class message_route {
public:
    message_route(bucket_buffers& store, bucket_passes& passes, message_round<C>& round, const bucket_wait& wait)
        : store_(&store)
        , passes_(&passes)
        , round_(&round)
        , wait_(wait)
        , states_(store.buckets().size())
    {
    }

    void launch(std::size_t b)
    {
        if constexpr (ordered_exchange<C>)
            if (b > 0) // without tags, means must come at the same place everywhere
                reduce(b - 1);
        const std::size_t element = store_->wire_size_of(b);
        const auto& peers = store_->buckets()[b].peers;
        for (std::size_t i = 0; i < peers.size(); ++i)
            round_->add(i, store_->sent_from(b, i), (peers[i].to_owner + peers[i].swapped) * element,
                store_->at(b, peers[i].receive_at), (peers[i].from_trainer + peers[i].swapped) * element);
        states_[b].at = phase::reducing;
        states_[b].pending = round_->start(b, round_kind::gradients);
    }

    void push(std::size_t b)
    {
        auto& s = states_[b];
        if constexpr (!ordered_exchange<C>)
            if (s.at == phase::reducing && s.pending.test())
                sum(b);
        if (s.at == phase::publishing && s.pending.test())
            s.at = phase::idle;
    }

    void reduce(std::size_t b)
    {
        if (states_[b].at != phase::reducing)
            return;
        wait_(b, "gradients", [&](auto limit) { states_[b].pending.wait(limit); });
        sum(b);
    }

    void complete(std::size_t b)
    {
        if (states_[b].at == phase::publishing)
            wait_(b, "mean gradients", [&](auto limit) { states_[b].pending.wait(limit); });
        states_[b].at = phase::idle;
    }

    [[nodiscard]] bool idle(std::size_t b) const noexcept { return states_[b].at == phase::idle; }

private:
    struct state {
        phase at = phase::idle;
        pending_of<C> pending {};
    };

    void sum(std::size_t b)
    {
        passes_->reduce(b, false);
        if (store_->values_to_trainers()) {
            states_[b].at = phase::idle;
            return;
        }
        const std::size_t element = store_->wire_size_of(b);
        const auto& peers = store_->buckets()[b].peers;
        for (std::size_t i = 0; i < peers.size(); ++i)
            round_->add(i, store_->returned_from(b, i), peers[i].from_trainer * element, store_->sent_from(b, i),
                peers[i].to_owner * element);
        states_[b].at = phase::publishing;
        states_[b].pending = round_->start(b, round_kind::means);
    }

    bucket_buffers* store_;
    bucket_passes* passes_;
    message_round<C>* round_;
    bucket_wait wait_;
    std::vector<state> states_; ///< by bucket
};

} // namespace sdp::detail
