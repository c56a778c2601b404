// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Buckets: parameters that are exchanged together, and the elements that each bucket exchanges with each peer.

#include <sdp/model.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
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
