// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The rule that places every piece of a plan in a bucket's buffer, for its owner or its trainers.
///
/// Both ends of a message, and every pass over a bucket, visit pieces in the plan's order, so the offset of a piece is the number
/// of elements that earlier pieces put into the same section. `lay_out` walks a bucket once and finds the lengths of its
/// sections; the engines walk it again and find the place of each piece.

#include <sdp/detail/exchange/bucket.hpp>
#include <sdp/detail/exchange/peer_table.hpp>
#include <sdp/detail/exchange/routes.hpp>
#include <sdp/overlap/plan.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace sdp::detail {

/// Section of a bucket's buffers that holds this worker's own elements of a piece.
enum class piece_section : std::uint8_t {
    none, ///< the elements stay in the gradient
    kept, ///< packed for this worker's own sum
    to_owner, ///< packed for the message to their owner, where the means return too
    swapped, ///< packed for the message to the other trainer
    exposed, ///< packed in the memory that peers reach
    native, ///< packed for the transport's own all-reduce
};

/// Rules beside the plan that decide the places of pieces. They outlive the walker.
struct placement_rules {
    std::span<const route_kind> routes; ///< by class
    const std::vector<bool>& interleaved; ///< by parameter: true if elements are packed even for their owner
    const std::vector<bool>& exposed_in_place; ///< by parameter: true if owners sum in the gradient itself
    bool values_to_trainers = false;
};

/// Walks the pieces of a bucket in the plan's order. Offsets are in elements, from the start of the buffer; of exposed elements,
/// from the start of the bucket's part of the memory that peers reach.
class piece_places {
public:
    struct place {
        piece_section section = piece_section::none;
        std::uint32_t peer = peer_table::self; ///< receives, or sums, the elements
        std::size_t offset = 0;
    };

    /// Next free element of each section, by peer.
    struct cursor {
        std::size_t to_owner = 0, from_trainer = 0, swap_out = 0, swap_in = 0, exposed = 0, values_out = 0, values_in = 0;
    };

    piece_places(const overlap_plan& plan, const peer_table& peers, const placement_rules& rules)
        : plan_(&plan)
        , peers_(&peers)
        , rules_(rules)
        , cursors_(peers.ranks.size())
    {
    }

    /// Starts a walk over the gradients of a bucket.
    /// @param wire bytes of an element in a message
    void begin_gradients(const bucket& b, std::size_t wire)
    {
        bucket_ = &b;
        for (std::size_t i = 0; i < cursors_.size(); ++i) {
            const auto& s = b.peers[i];
            const std::size_t send = s.send_at / wire, receive = s.receive_at / wire;
            cursors_[i] = {send, receive, send + s.to_owner, receive + s.from_trainer, s.exposed_at / wire, 0, 0};
        }
        kept_ = b.kept_at / wire;
        native_ = b.native_at / size_of(b.type);
    }
    /// Starts a walk over the values of a bucket.
    void begin_values(const bucket& b)
    {
        bucket_ = &b;
        const std::size_t element = size_of(b.type);
        for (std::size_t i = 0; i < cursors_.size(); ++i) {
            cursors_[i].values_out = b.peers[i].values_out_at / element;
            cursors_[i].values_in = b.peers[i].values_in_at / element;
        }
    }

    /// Returns the peer that owns a piece, or `self`.
    [[nodiscard]] std::uint32_t owner_of(const overlap_piece& piece) const noexcept
    {
        return peers_->classes[piece.sharing_class].trainers[piece.owner];
    }
    /// Returns the peer with which this worker swaps a piece.
    [[nodiscard]] std::uint32_t other_trainer(const overlap_piece& piece) const noexcept
    {
        return peers_->classes[piece.sharing_class].trainers[plan_->class_of(piece).position == 0 ? 1 : 0];
    }

    /// Returns the place of this worker's own elements of the next piece, which belongs to `parameter`.
    [[nodiscard]] place own(std::size_t parameter, const overlap_piece& piece)
    {
        const auto size = static_cast<std::size_t>(plan_->size_of(piece));
        const auto route = rules_.routes[piece.sharing_class];
        switch (route) {
        case route_kind::swap: {
            const auto peer = other_trainer(piece);
            return sent(piece_section::swapped, peer, advance(cursors_[peer].swap_out, size));
        }
        case route_kind::native:
            return {piece_section::native, peer_table::self, advance(native_, size)};
        case route_kind::two_sided:
        case route_kind::memory: {
            const auto owner = owner_of(piece);
            if (owner == peer_table::self)
                return rules_.interleaved[parameter] ? place {piece_section::kept, owner, advance(kept_, size)} : place {};
            if (route == route_kind::two_sided)
                return sent(piece_section::to_owner, owner, advance(cursors_[owner].to_owner, size));
            if (!rules_.exposed_in_place[parameter])
                return {piece_section::exposed, owner, advance(cursors_[owner].exposed, size)};
            break;
        }
        case route_kind::none:
        case route_kind::local:
            break;
        }
        return {};
    }

    /// Returns the offset of a trainer's elements of a piece that this worker sums from messages. Callers ask once for each
    /// trainer, in rank order.
    [[nodiscard]] std::size_t received(const overlap_piece& piece, std::uint32_t peer)
    {
        auto& c = cursors_[peer];
        return advance(rules_.routes[piece.sharing_class] == route_kind::swap ? c.swap_in : c.from_trainer,
            static_cast<std::size_t>(plan_->size_of(piece)));
    }

    /// Calls `send(peer, offset)` for every peer that receives the values of the next piece from this worker, or
    /// `receive(peer, offset)` if this worker receives them.
    template <class Send, class Receive> void values(const overlap_piece& piece, Send send, Receive receive)
    {
        const auto& m = peers_->classes[piece.sharing_class];
        const auto owner = owner_of(piece);
        const auto size = static_cast<std::size_t>(plan_->size_of(piece));
        if (owner != peer_table::self) {
            if (plan_->class_of(piece).position < 0 || rules_.values_to_trainers)
                receive(owner, advance(cursors_[owner].values_in, size));
            return;
        }
        const auto send_to = [&](std::uint32_t peer) {
            if (peer != peer_table::self)
                send(peer, advance(cursors_[peer].values_out, size));
        };
        for (const auto peer : m.readers)
            send_to(peer);
        if (rules_.values_to_trainers)
            for (const auto peer : m.trainers)
                send_to(peer);
    }

    /// Returns the ends of a peer's sections, so far.
    [[nodiscard]] const cursor& end_of(std::size_t peer) const noexcept { return cursors_[peer]; }
    [[nodiscard]] std::size_t kept_end() const noexcept { return kept_; }
    [[nodiscard]] std::size_t native_end() const noexcept { return native_; }

private:
    [[nodiscard]] static std::size_t advance(std::size_t& cursor, std::size_t size) noexcept
    {
        return std::exchange(cursor, cursor + size);
    }
    /// Leaves out the packing of a section that is one stretch of a gradient.
    [[nodiscard]] place sent(piece_section section, std::uint32_t peer, std::size_t offset) const noexcept
    {
        return {bucket_->peers[peer].sent_from ? piece_section::none : section, peer, offset};
    }

    const overlap_plan* plan_;
    const peer_table* peers_;
    placement_rules rules_;
    const bucket* bucket_ = nullptr;
    std::vector<cursor> cursors_; ///< by peer
    std::size_t kept_ = 0, native_ = 0;
};

} // namespace sdp::detail
