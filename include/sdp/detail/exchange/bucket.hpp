// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Buckets: parameters that are exchanged together, and what each has to exchange with each peer.

#include <sdp/model.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

namespace sdp::detail {

/// Consecutive elements of a gradient.
struct gradient_stretch {
    std::size_t parameter = 0;
    std::uint64_t begin = 0, end = 0;
};

/// Elements that this worker exchanges with one peer in one bucket, and the bytes of the buffers where they lie.
///
/// A gradient message has two sections: first the elements that an owner sums, whose means return to the very buffer they
/// left from, then the elements that two trainers swap. So no phase needs a buffer of its own. A section that is one stretch
/// of a gradient may need none at all.
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

} // namespace sdp::detail
