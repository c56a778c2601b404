// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief How the parameters of a plan are put into buckets, and where in a bucket's buffer each peer's bytes lie.

#include <sdp/detail/routes.hpp>
#include <sdp/model.hpp>
#include <sdp/overlap/plan.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace sdp::detail {

/// The peers of a plan, and for every class where its trainers and readers are in that list.
struct peer_table {
    static constexpr std::uint32_t self = std::numeric_limits<std::uint32_t>::max();

    struct members {
        std::vector<std::uint32_t> trainers, readers; ///< indices into `ranks`, or `self`
    };

    std::vector<int> ranks; ///< everybody this worker exchanges with, ascending
    std::vector<members> classes;

    peer_table() = default;
    explicit peer_table(const overlap_plan& plan)
    {
        for (const auto& c : plan.classes) {
            ranks.insert(ranks.end(), c.trainers.begin(), c.trainers.end());
            if (c.position >= 0) // two readers never talk to each other
                ranks.insert(ranks.end(), c.readers.begin(), c.readers.end());
        }
        std::sort(ranks.begin(), ranks.end());
        ranks.erase(std::unique(ranks.begin(), ranks.end()), ranks.end());
        std::erase(ranks, plan.rank);
        const auto index = [&](int rank) {
            const auto at = std::lower_bound(ranks.begin(), ranks.end(), rank);
            return at != ranks.end() && *at == rank ? static_cast<std::uint32_t>(at - ranks.begin()) : self;
        };
        for (const auto& c : plan.classes) {
            auto& m = classes.emplace_back();
            for (const int rank : c.trainers)
                m.trainers.push_back(index(rank));
            for (const int rank : c.readers)
                m.readers.push_back(index(rank));
        }
    }
};

/// What lies between this worker and one peer in one bucket, in elements, and where in the buffers, in bytes.
///
/// A gradient message has two sections: first what is reduced at an owner and comes back as the mean, in the very buffer it
/// left from, then what two trainers simply swap. So no phase needs a buffer of its own.
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
[[nodiscard]] inline std::vector<bucket> make_buckets(const model& m, std::size_t bucket_bytes)
{
    std::vector<bucket> out;
    std::size_t filled = 0;
    for (std::size_t p = m.parameters().size(); p-- > 0;) {
        const auto& parameter = m.parameters()[p];
        const std::size_t bytes = static_cast<std::size_t>(parameter.size()) * size_of(parameter.type());
        if (out.empty() || filled + bytes > bucket_bytes || out.back().type != parameter.type()) {
            out.emplace_back().type = parameter.type();
            filled = 0;
        }
        out.back().parameters.push_back(p);
        filled += bytes;
    }
    return out;
}

/// Fills in the sizes and places of a bucket. `packed(parameter)` says whether the elements that this worker owns are
/// packed, and `exposed(parameter)` whether those that others own may have to be packed for them to be reached.
template <class RouteOf, class Packed, class Exposed>
void lay_out(bucket& b, const overlap_plan& plan, const peer_table& peers, bool values_to_trainers, std::size_t wire_size,
    RouteOf route_of, Packed packed, Exposed exposed)
{
    constexpr auto self = peer_table::self;
    b.peers.assign(peers.ranks.size(), {});
    std::vector<std::size_t> exposed_elements(peers.ranks.size(), 0);
    for (const auto p : b.parameters) {
        bool trains = false;
        for (const auto& piece : plan.of(p)) {
            const auto& c = plan.class_of(piece);
            const auto& m = peers.classes[piece.holder_class];
            const auto size = static_cast<std::size_t>(plan.size_of(piece));
            const auto owner = m.trainers[piece.owner];
            const auto way = route_of(piece.holder_class);
            trains = trains || c.position >= 0;
            switch (way) {
            case route::swap:
                b.peers[m.trainers[c.position == 0 ? 1 : 0]].swapped += size;
                break;
            case route::two_sided:
            case route::memory:
                if (owner == self && packed(p))
                    b.kept += size;
                for (std::size_t t = 0; t < m.trainers.size(); ++t) {
                    const auto peer = m.trainers[t];
                    if (peer == self || (owner != self && peer != owner))
                        continue;
                    auto& s = b.peers[peer];
                    (way == route::two_sided ? (owner == self ? s.from_trainer : s.to_owner)
                                             : (owner == self ? s.read : s.exposed))
                        += size;
                    if (way == route::memory && owner == self && m.trainers.size() == 2 && !values_to_trainers)
                        s.paired += size;
                    if (way == route::memory && owner != self && exposed(p))
                        exposed_elements[peer] += size;
                }
                break;
            case route::native:
                b.native += size;
                break;
            case route::none:
            case route::local:
                break;
            }
            if (owner != self) {
                if (c.position < 0 || values_to_trainers)
                    b.peers[owner].values_in += size;
                continue;
            }
            for (const auto r : m.readers)
                b.peers[r].values_out += size;
            if (values_to_trainers)
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
        s.send_at = reserve(gradients, s.to_owner + s.swapped, wire_size);
        s.receive_at = reserve(gradients, s.from_trainer + s.swapped, wire_size);
        s.values_out_at = reserve(values, s.values_out, element);
        s.values_in_at = reserve(values, s.values_in, element);
        s.exposed_at = reserve(b.exposed_bytes, exposed_elements[i], wire_size);
    }
    b.kept_at = reserve(gradients, b.kept, wire_size);
    b.native_at = reserve(gradients, b.native, element);
    b.bytes = std::max(gradients, values);
}

} // namespace sdp::detail
