// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief How the parameters of a plan are put into buckets, and where in a bucket's buffer each peer's bytes lie.

#include <sdp/detail/exchange/peer_table.hpp>
#include <sdp/detail/exchange/routes.hpp>
#include <sdp/model.hpp>
#include <sdp/overlap/plan.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

namespace sdp::detail {

/// Consecutive elements of a gradient.
struct gradient_stretch {
    std::size_t parameter = 0;
    std::uint64_t begin = 0, end = 0;
};

/// What lies between this worker and one peer in one bucket, in elements, and where in the buffers, in bytes.
///
/// A gradient message has two sections: first what is reduced at an owner and comes back as the mean, in the very buffer it
/// left from, then what two trainers simply swap. So no phase needs a buffer of its own. A section that is one stretch of a
/// gradient may need none at all.
struct peer_share {
    std::size_t to_owner = 0; ///< of mine that the peer owns, by messages
    std::size_t from_trainer = 0; ///< of the peer's that I own, by messages
    std::size_t swapped = 0; ///< that go both ways at once, k = 2
    std::size_t exposed = 0; ///< of mine that the peer owns and reads from my memory
    std::size_t read = 0; ///< of the peer's that I own and read from its memory
    std::size_t paired = 0; ///< of `read`, where only the peer and I train: in messages they would be swapped
    std::size_t values_out = 0; ///< fresh values to the peer
    std::size_t values_in = 0;
    std::size_t send_at = 0, receive_at = 0; ///< in the buffer
    std::optional<gradient_stretch> sent_from; ///< instead of the buffer; means come back there too
    std::optional<gradient_stretch> returned_from; ///< where means for the peer are sent from, instead of the buffer
    std::size_t exposed_at = 0; ///< in the memory that peers reach
    std::size_t values_out_at = 0, values_in_at = 0; ///< in the buffer, while no gradients are
};

/// Parameters that are exchanged together, in backward order, all of one element type.
struct bucket {
    std::vector<std::size_t> parameters;
    element_type type = element_type::f32;
    std::vector<peer_share> peers; ///< as in the peer table
    std::size_t kept = 0; ///< elements of mine that I own and pack for my own use
    std::size_t native = 0; ///< elements that the transport sums
    std::size_t kept_at = 0, native_at = 0; ///< in the buffer
    std::size_t bytes = 0; ///< of the buffer
    std::size_t exposed_bytes = 0; ///< of the memory that peers reach
    std::size_t trained = 0; ///< parameters of which this worker trains something
};

/// Puts parameters into buckets in backward order, last declared first. Filled by full sizes, which all ranks know alike.
[[nodiscard]] inline std::vector<bucket> make_buckets(
    const model& m, std::size_t bucket_bytes, std::size_t most_parameters = std::numeric_limits<std::size_t>::max())
{
    std::vector<bucket> out;
    std::size_t filled = 0;
    for (std::size_t p = m.parameters().size(); p-- > 0;) {
        const auto& parameter = m.parameters()[p];
        const std::size_t bytes = static_cast<std::size_t>(parameter.size()) * size_of(parameter.type());
        if (out.empty() || filled + bytes > bucket_bytes || out.back().type != parameter.type()
            || out.back().parameters.size() == most_parameters) {
            out.emplace_back().type = parameter.type();
            filled = 0;
        }
        out.back().parameters.push_back(p);
        filled += bytes;
    }
    return out;
}

/// Whether the elements of a piece follow each other without a gap; if so, where they are.
[[nodiscard]] inline std::optional<gradient_stretch> stretch_of(
    const overlap_plan& plan, std::size_t parameter, const overlap_piece& piece)
{
    const auto runs = plan.runs_of(piece);
    if (runs.size() != 1 || (piece.rows > 1 && runs[0].length != piece.stride))
        return {};
    const std::uint64_t begin = piece.start + runs[0].offset;
    return gradient_stretch {parameter, begin, begin + plan.size_of(piece)};
}

/// Tells whether the pieces that are added form one stretch of one gradient.
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

/// What decides how a bucket is laid out.
struct layout_rules {
    std::span<const route_kind> routes; ///< by class
    const std::vector<bool>& interleaved; ///< by parameter: whether elements are packed also for their owner
    bool in_tensors = false; ///< owners work in the trainers' tensors where they are not interleaved
    bool send_in_place = false; ///< sections that are one stretch of a gradient are sent from there
    bool values_to_trainers = false;
    std::size_t wire_size = 0; ///< bytes of a gradient's element while it travels
};

/// Fills in the sizes and places of a bucket.
inline void lay_out(bucket& b, const overlap_plan& plan, const peer_table& peers, const layout_rules& rules)
{
    constexpr auto self = peer_table::self;
    b.peers.assign(peers.ranks.size(), {});
    std::vector<std::size_t> exposed_elements(peers.ranks.size(), 0);
    std::vector<stretch_builder> sent(peers.ranks.size()), returned(peers.ranks.size());
    for (const auto p : b.parameters) {
        bool trains = false;
        for (const auto& piece : plan.of(p)) {
            const auto& c = plan.class_of(piece);
            const auto& m = peers.classes[piece.sharing_class];
            const auto size = static_cast<std::size_t>(plan.size_of(piece));
            const auto owner = m.trainers[piece.owner];
            const auto route = rules.routes[piece.sharing_class];
            const auto stretch = rules.send_in_place && !rules.interleaved[p] ? stretch_of(plan, p, piece) : std::nullopt;
            trains = trains || c.position >= 0;
            switch (route) {
            case route_kind::swap: {
                const auto peer = m.trainers[c.position == 0 ? 1 : 0];
                b.peers[peer].swapped += size;
                sent[peer].add(stretch);
                break;
            }
            case route_kind::two_sided:
                if (owner == self && rules.interleaved[p])
                    b.kept += size;
                for (const auto peer : m.trainers)
                    if (owner == self && peer != self) {
                        b.peers[peer].from_trainer += size;
                        returned[peer].add(stretch);
                    }
                if (owner != self) {
                    b.peers[owner].to_owner += size;
                    sent[owner].add(stretch);
                }
                break;
            case route_kind::memory:
                if (owner == self && rules.interleaved[p])
                    b.kept += size;
                for (const auto peer : m.trainers)
                    if (owner == self && peer != self) {
                        b.peers[peer].read += size;
                        if (m.trainers.size() == 2 && !rules.values_to_trainers)
                            b.peers[peer].paired += size;
                    }
                if (owner != self) {
                    b.peers[owner].exposed += size;
                    if (!rules.in_tensors || rules.interleaved[p])
                        exposed_elements[owner] += size;
                }
                break;
            case route_kind::native:
                b.native += size;
                break;
            case route_kind::none:
            case route_kind::local:
                break;
            }
            if (owner != self) {
                if (c.position < 0 || rules.values_to_trainers)
                    b.peers[owner].values_in += size;
                continue;
            }
            for (const auto r : m.readers)
                b.peers[r].values_out += size;
            if (rules.values_to_trainers)
                for (const auto t : m.trainers)
                    if (t != self)
                        b.peers[t].values_out += size;
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
        if (s.to_owner == 0 || s.swapped == 0) // else the order of the sections is not that of the gradient
            s.sent_from = sent[i].result();
        s.returned_from = returned[i].result();
        s.send_at = reserve(gradients, s.sent_from ? 0 : s.to_owner + s.swapped, rules.wire_size);
        s.receive_at = reserve(gradients, s.from_trainer + s.swapped, rules.wire_size);
        s.values_out_at = reserve(values, s.values_out, element);
        s.values_in_at = reserve(values, s.values_in, element);
        s.exposed_at = reserve(b.exposed_bytes, exposed_elements[i], rules.wire_size);
    }
    b.kept_at = reserve(gradients, b.kept, rules.wire_size);
    b.native_at = reserve(gradients, b.native, element);
    b.bytes = std::max(gradients, values);
}

} // namespace sdp::detail
