// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Route of the transport's own all-reduce, which sums elements that all workers hold.

#include <sdp/detail/host/exchange_route.hpp>

#include <utility>
#include <vector>

namespace sdp::detail {

/// The no-op route, for a transport without an all-reduce.
template <communicator C> class native_route : public absent_route {
public:
    explicit native_route(const route_parts<C>&) { }
};

template <native_all_reduce C> class native_route<C> : public absent_route {
public:
    explicit native_route(const route_parts<C>& parts)
        : comm_(&parts.comm)
        , buffers_(&parts.buffers)
        , sent_(&parts.sent)
        , wait_(parts.wait)
        , states_(parts.buffers.buckets().size())
    {
    }

    void launch(std::size_t b)
    {
        const auto& bucket = buffers_->buckets()[b];
        if (bucket.native == 0)
            return;
        states_[b].pending = comm_->all_reduce(buffers_->at(b, bucket.native_at), bucket.native, bucket.type);
        states_[b].busy = true;
        buffers_->count_native(b, *sent_);
    }

    void progress(std::size_t first, std::size_t last)
    {
        for (std::size_t b = first; b < last; ++b)
            if (states_[b].busy && states_[b].pending.test())
                states_[b].busy = false;
    }

    void complete(std::size_t b)
    {
        if (states_[b].busy)
            wait_(b, "all-reduce", [&](auto limit) { states_[b].pending.wait(limit); });
        states_[b].busy = false;
    }

    [[nodiscard]] bool idle(std::size_t b) const noexcept { return !states_[b].busy; }

private:
    struct state {
        bool busy = false;
        decltype(std::declval<C&>().all_reduce(nullptr, std::size_t {}, element_type {})) pending {};
    };

    C* comm_;
    bucket_buffers* buffers_;
    traffic* sent_;
    bucket_wait wait_;
    std::vector<state> states_; ///< by bucket
};

} // namespace sdp::detail
