// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Route of messages: gradients travel to their owners and means back; two trainers swap gradients once.

#include <sdp/detail/host/exchange_route.hpp>

#include <vector>

namespace sdp::detail {

template <communicator C> class message_route : public absent_route {
public:
    explicit message_route(const route_parts<C>& parts)
        : buffers_(&parts.buffers)
        , passes_(&parts.passes)
        , round_(&parts.round)
        , wait_(parts.wait)
        , states_(parts.buffers.buckets().size())
    {
    }

    void launch(std::size_t b)
    {
        if constexpr (ordered_exchange<C>)
            if (b > 0) // without tags, all ranks must start the means at the same point
                reduce(b - 1);
        round_->add_gradients(*buffers_, b);
        states_[b].at = phase::reducing;
        states_[b].pending = round_->start(b, round_kind::gradients);
    }

    void progress(std::size_t first, std::size_t last)
    {
        for (std::size_t b = first; b < last; ++b) {
            auto& s = states_[b];
            if constexpr (!ordered_exchange<C>)
                if (s.at == phase::reducing && s.pending.test())
                    sum(b);
            if (s.at == phase::publishing && s.pending.test())
                s.at = phase::idle;
        }
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
        if (buffers_->values_to_trainers()) {
            states_[b].at = phase::idle;
            return;
        }
        round_->add_means(*buffers_, b);
        states_[b].at = phase::publishing;
        states_[b].pending = round_->start(b, round_kind::means);
    }

    bucket_buffers* buffers_;
    bucket_passes* passes_;
    message_round<C>* round_;
    bucket_wait wait_;
    std::vector<state> states_; ///< by bucket
};

} // namespace sdp::detail
