// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Layout of a bucket: the sizes of its sections, and their places in its buffer.

#include <sdp/detail/exchange/piece_places.hpp>

#include <cstdint>
#include <vector>

namespace sdp::detail {

/// Rules for the layout of a bucket.
struct layout_rules {
    bool send_in_place = false; ///< a section that is one stretch of a gradient is sent without packing
    std::size_t wire_size = 0; ///< bytes of a gradient's element in a message
};

/// Computes the sizes and places of a bucket.
void lay_out(
    bucket& b, const overlap_plan& plan, const peer_table& peers, const placement_rules& placement, const layout_rules& rules);

} // namespace sdp::detail

#ifndef SDP_SEPARATE_COMPILATION
#include <sdp/src/detail/exchange/bucket_layout.ipp>
#endif
