// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Layout of a bucket: the sizes of its sections, and their places in its buffer.

#include <sdp/detail/exchange/piece_places.hpp>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

namespace sdp::detail {

/// The stretch that a piece covers, if its elements have no gaps.
[[nodiscard]] inline std::optional<gradient_stretch> stretch_of(
    const overlap_plan& plan, std::size_t parameter, const overlap_piece& piece)
{
    const auto runs = plan.runs_of(piece);
    if (runs.size() != 1 || (piece.rows > 1 && runs[0].length != piece.stride))
        return {};
    const std::uint64_t begin = piece.start + runs[0].offset;
    return gradient_stretch {parameter, begin, begin + plan.size_of(piece)};
}

/// Joins pieces and reports the stretch that they form, if they form a single one.
class stretch_builder {
public:
    void add(const std::optional<gradient_stretch>& s)
    {
        if (!any_)
            all_ = s;
        else if (all_ && s && s->parameter == all_->parameter && s->begin == all_->end)
            all_->end = s->end;
        else
            all_.reset();
        any_ = true;
    }
    [[nodiscard]] const std::optional<gradient_stretch>& result() const noexcept { return all_; }

private:
    bool any_ = false;
    std::optional<gradient_stretch> all_;
};

/// Rules for the layout of a bucket.
struct layout_rules {
    bool send_in_place = false; ///< a section that is one stretch of a gradient is sent without packing
    std::size_t wire_size = 0; ///< bytes of a gradient's element in a message
};

/// Computes the sizes and places of a bucket.
inline void lay_out(
    bucket& b, const overlap_plan& plan, const peer_table& peers, const placement_rules& placement, const layout_rules& rules)
{
    constexpr auto self = peer_table::self;
    b.peers.assign(peers.ranks.size(), {});
    std::vector<stretch_builder> sent(peers.ranks.size()), returned(peers.ranks.size());
    piece_places places(plan, peers, placement);
    places.begin_gradients(b, rules.wire_size); // nothing has a size yet, so all sections start at 0
    for (const auto p : b.parameters) {
        bool trains = false;
        for (const auto& piece : plan.of(p)) {
            const auto& trainers = peers.classes[piece.sharing_class].trainers;
            const auto size = static_cast<std::size_t>(plan.size_of(piece));
            const auto owner = places.owner_of(piece);
            const auto route = placement.routes[piece.sharing_class];
            const auto stretch = rules.send_in_place && !placement.interleaved[p] ? stretch_of(plan, p, piece) : std::nullopt;
            trains = trains || plan.class_of(piece).position >= 0;
            if (const auto own = places.own(p, piece);
                own.section == piece_section::to_owner || own.section == piece_section::swapped)
                sent[own.peer].add(stretch);
            if (route == route_kind::swap)
                static_cast<void>(places.received(piece, places.other_trainer(piece)));
            if (route == route_kind::memory && owner != self)
                b.peers[owner].exposed += size;
            if (owner == self)
                for (const auto peer : trainers) {
                    if (peer == self)
                        continue;
                    if (route == route_kind::two_sided) {
                        static_cast<void>(places.received(piece, peer));
                        returned[peer].add(stretch);
                    } else if (route == route_kind::memory) {
                        b.peers[peer].read += size;
                        b.peers[peer].paired += trainers.size() == 2 && !placement.values_to_trainers ? size : 0;
                    }
                }
            const auto count_only = [](std::uint32_t, std::size_t) {};
            places.values(piece, count_only, count_only);
        }
        b.trained += trains ? 1 : 0;
    }
    constexpr std::size_t line = 64;
    const std::size_t element = size_of(b.type);
    std::size_t gradients = 0, values = 0;
    const auto reserve = [](std::size_t& end, std::size_t elements, std::size_t bytes) {
        const std::size_t at = end;
        end += (elements * bytes + line - 1) / line * line;
        return at;
    };
    for (std::size_t i = 0; i < b.peers.size(); ++i) {
        auto& s = b.peers[i];
        const auto& end = places.end_of(i);
        s.to_owner = end.to_owner;
        s.from_trainer = end.from_trainer;
        s.swapped = end.swap_out;
        s.values_out = end.values_out;
        s.values_in = end.values_in;
        if (s.to_owner == 0 || s.swapped == 0) // else the order of the sections is not that of the gradient
            s.sent_from = sent[i].result();
        s.returned_from = returned[i].result();
        s.send_at = reserve(gradients, s.sent_from ? 0 : s.to_owner + s.swapped, rules.wire_size);
        s.receive_at = reserve(gradients, s.from_trainer + s.swapped, rules.wire_size);
        s.values_out_at = reserve(values, s.values_out, element);
        s.values_in_at = reserve(values, s.values_in, element);
        s.exposed_at = reserve(b.exposed_bytes, end.exposed, rules.wire_size);
    }
    b.kept = places.kept_end();
    b.native = places.native_end();
    b.kept_at = reserve(gradients, b.kept, rules.wire_size);
    b.native_at = reserve(gradients, b.native, element);
    b.bytes = std::max(gradients, values);
}

} // namespace sdp::detail
