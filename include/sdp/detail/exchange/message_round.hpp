// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Collects the messages of one phase of a bucket, and starts them in one exchange.

#include <sdp/comm/communicator.hpp>
#include <sdp/comm/detail/root_collectives.hpp>
#include <sdp/detail/exchange/bucket_buffers.hpp>
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

    /// Adds the gradients of a bucket: it sends those that peers sum or swap, and receives those that this worker sums or swaps.
    void add_gradients(bucket_buffers& buffers, std::size_t b)
    {
        const std::size_t element = buffers.wire_size_of(b);
        const auto& peers = buffers.buckets()[b].peers;
        for (std::size_t i = 0; i < peers.size(); ++i)
            add(i, buffers.sent_from(b, i), (peers[i].to_owner + peers[i].swapped) * element, buffers.at(b, peers[i].receive_at),
                (peers[i].from_trainer + peers[i].swapped) * element);
    }
    /// Adds the means of a bucket, which return from where gradients were received to where they were sent from.
    void add_means(bucket_buffers& buffers, std::size_t b)
    {
        const std::size_t element = buffers.wire_size_of(b);
        const auto& peers = buffers.buckets()[b].peers;
        for (std::size_t i = 0; i < peers.size(); ++i)
            add(i, buffers.returned_from(b, i), peers[i].from_trainer * element, buffers.sent_from(b, i),
                peers[i].to_owner * element);
    }
    /// Adds the fresh values of a bucket.
    void add_values(bucket_buffers& buffers, std::size_t b)
    {
        const std::size_t element = size_of(buffers.buckets()[b].type);
        for (std::size_t i = 0; i < buffers.buckets()[b].peers.size(); ++i) {
            const auto& s = buffers.buckets()[b].peers[i];
            add(i, buffers.at(b, s.values_out_at), s.values_out * element, buffers.at(b, s.values_in_at), s.values_in * element);
        }
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
    /// Zero bytes are no message.
    void add(std::size_t peer, const void* out, std::size_t out_bytes, void* in, std::size_t in_bytes)
    {
        if (out_bytes > 0)
            outgoing_.push_back({peers_->ranks[peer], out, out_bytes});
        if (in_bytes > 0)
            incoming_.push_back({peers_->ranks[peer], in, in_bytes});
    }

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
