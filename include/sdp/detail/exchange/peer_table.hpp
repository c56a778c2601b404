// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The peers of a plan.

#include <sdp/overlap/plan.hpp>

#include <cstdint>
#include <limits>
#include <vector>

namespace sdp::detail {

/// The peers of a plan, and for every class the positions of its trainers and readers in the list of peers.
struct peer_table {
    static constexpr std::uint32_t self = (std::numeric_limits<std::uint32_t>::max)();

    struct members {
        std::vector<std::uint32_t> trainers, readers; ///< indices into `ranks`, or `self`
    };

    std::vector<int> ranks; ///< all ranks that this worker exchanges with, ascending
    std::vector<members> classes;

    peer_table() = default;
    explicit peer_table(const overlap_plan& plan);
};

} // namespace sdp::detail

#ifndef SDP_SEPARATE_COMPILATION
#include <sdp/src/detail/exchange/peer_table.ipp>
#endif
