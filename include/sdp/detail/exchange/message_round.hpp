// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Collects the messages of one phase of a bucket, and starts them in one exchange.

#include <sdp/comm/communicator.hpp>
#include <sdp/comm/detail/root_collectives.hpp>
#include <sdp/detail/exchange/bucket_layout.hpp>
#include <sdp/traffic.hpp>

#include <vector>

namespace sdp::detail {

/// A bucket's rounds of messages. The kind and the bucket's number make a tag.
enum class round_kind : std::uint8_t { gradients, means, values };

template <communicator C> class message_round {
public:
    /// Counts bytes and messages in `sent`.
    message_round(C& comm, const peer_table& peers, traffic& sent)
        : comm_(&comm)
        , peers_(&peers)
        , sent_(&sent)
    {
        outgoing_.reserve(peers.ranks.size());
        incoming_.reserve(peers.ranks.size());
    }

    /// Adds a message to a peer and one from it; one of zero bytes is left out.
    void add(std::size_t peer, const void* out, std::size_t out_bytes, void* in, std::size_t in_bytes)
    {
        if (out_bytes > 0)
            outgoing_.push_back({peers_->ranks[peer], out, out_bytes});
        if (in_bytes > 0)
            incoming_.push_back({peers_->ranks[peer], in, in_bytes});
    }

    /// Starts the added messages.
    [[nodiscard]] pending_of<C> start(std::size_t bucket, round_kind kind)
    {
        if (outgoing_.empty() && incoming_.empty())
            return {};
        count(kind);
        const auto number = (bucket * 3 + static_cast<std::size_t>(kind)) % static_cast<std::size_t>(first_control_tag);
        auto pending = comm_->exchange(static_cast<exchange_tag>(number), outgoing_, incoming_);
        outgoing_.clear();
        incoming_.clear();
        return pending;
    }

    /// Enqueues the added messages on the communicator's stream.
    void start_on_stream(round_kind kind)
    {
        if (outgoing_.empty() && incoming_.empty())
            return;
        count(kind);
        comm_->exchange_on_stream(outgoing_, incoming_);
        outgoing_.clear();
        incoming_.clear();
    }

private:
    void count(round_kind kind) noexcept
    {
        auto& bytes = kind == round_kind::gradients ? sent_->reduce_bytes
            : kind == round_kind::means             ? sent_->publish_bytes
                                                    : sent_->value_bytes;
        for (const auto& message : outgoing_)
            bytes += message.bytes;
        sent_->messages += outgoing_.size();
    }

    C* comm_;
    const peer_table* peers_;
    traffic* sent_;
    // These lists are kept between calls, so that a step allocates nothing.
    std::vector<outgoing> outgoing_;
    std::vector<incoming> incoming_;
};

} // namespace sdp::detail
