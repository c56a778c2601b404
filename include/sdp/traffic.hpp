// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Counters of a step: bytes by phase, elements by route, and the ranges that a worker owns.

#include <sdp/model.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sdp {

/// The use of one route.
struct route_use {
    std::string_view route; ///< `swap`, `two-sided`, `native`, or what the communicator calls its peer memory
    std::size_t holder_sets = 0;
    std::uint64_t elements = 0; ///< of this worker's gradients
};

/// Bytes and messages that this worker has sent, by phase.
struct traffic {
    std::uint64_t reduce_bytes = 0; ///< gradients to owners and swaps
    std::uint64_t publish_bytes = 0; ///< means back to the trainers
    std::uint64_t value_bytes = 0; ///< fresh values
    std::uint64_t control_bytes = 0; ///< norms, weights, scalars
    std::uint64_t messages = 0; ///< of the first three kinds

    /// Bytes of parameters, which the formulas count.
    [[nodiscard]] std::uint64_t bytes() const noexcept { return reduce_bytes + publish_bytes + value_bytes; }

    [[nodiscard]] friend traffic operator-(const traffic& a, const traffic& b) noexcept
    {
        return {a.reduce_bytes - b.reduce_bytes, a.publish_bytes - b.publish_bytes, a.value_bytes - b.value_bytes,
            a.control_bytes - b.control_bytes, a.messages - b.messages};
    }
    friend bool operator==(const traffic&, const traffic&) = default;
};

/// The range of one parameter in the flat shard that an owner updates.
struct owned_range {
    parameter_id parameter {};
    index_t offset = 0; ///< in the flat shard
    index_t size = 0;
};

} // namespace sdp
