// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Buckets: the grouping of parameters, and the place of each peer's bytes in a bucket's buffer.

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

/// A stretch: consecutive elements of a gradient.
struct gradient_stretch {
    std::size_t parameter = 0;
    std::uint64_t begin = 0, end = 0;
};

/// Elements that this worker shares with one peer in one bucket, and their places in the buffers, in bytes.
///
/// A gradient message has two sections. The first has the elements that an owner reduces; the mean returns to the same place. The
/// second has the elements that two trainers swap. No phase therefore needs a buffer of its own, and a section that is one
/// stretch of a gradient may need no buffer at all.
struct peer_share {
    std::size_t to_owner = 0; ///< elements of this worker that the peer owns, by messages
    std::size_t from_trainer = 0; ///< elements of the peer that this worker owns, by messages
    std::size_t swapped = 0; ///< elements sent both ways at once, k = 2
    std::size_t exposed = 0; ///< elements of this worker that the peer owns and reads from this worker's memory
    std::size_t read = 0; ///< elements of the peer that this worker owns and reads from its memory
    std::size_t paired = 0; ///< of `read`, elements of a class with two trainers: messages would swap them
    std::size_t values_out = 0; ///< fresh values to the peer
    std::size_t values_in = 0;
    std::size_t send_at = 0, receive_at = 0; ///< in the buffer
    std::optional<gradient_stretch> sent_from; ///< replaces the buffer; means return there too
    std::optional<gradient_stretch> returned_from; ///< place of the means for the peer, replaces the buffer
    std::size_t exposed_at = 0; ///< in the memory that peers reach
    std::size_t values_out_at = 0, values_in_at = 0; ///< in the buffer, when it holds no gradients
};

/// Parameters that are exchanged together, in backward order, all of one element type.
struct bucket {
    std::vector<std::size_t> parameters;
    element_type type = element_type::f32;
    std::vector<peer_share> peers; ///< as in the peer table
    std::size_t kept = 0; ///< elements that this worker owns and packs for its own use
    std::size_t native = 0; ///< elements that the transport sums
    std::size_t kept_at = 0, native_at = 0; ///< in the buffer
    std::size_t bytes = 0; ///< of the buffer
    std::size_t exposed_bytes = 0; ///< of the memory that peers reach
    std::size_t trained = 0; ///< number of parameters of which this worker trains elements
};

/// Groups parameters into buckets in backward order, last declared first. Counts full sizes, which all ranks know.
[[nodiscard]] inline std::vector<bucket> make_buckets(
    const model& m, std::size_t bucket_bytes, std::size_t most_parameters = (std::numeric_limits<std::size_t>::max)())
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
    std::span<const route_kind> routes; ///< by class
    const std::vector<bool>& interleaved; ///< by parameter: true if elements are packed even for their owner
    bool in_tensors = false; ///< owners work in the trainers' tensors unless a parameter is interleaved
    bool send_in_place = false; ///< a section that is one stretch of a gradient is sent without packing
    bool values_to_trainers = false;
    std::size_t wire_size = 0; ///< bytes of a gradient's element in a message
};

/// Computes the sizes and places of a bucket.
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
        if (s.to_owner == 0 || s.swapped == 0) // otherwise the order of the sections is not that of the gradient
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
    b.bytes = (std::max)(gradients, values);
}

} // namespace sdp::detail
