// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Costs of an arrangement, computed without running it.

#include <sdp/partition/connectivity.hpp>
#include <sdp/synchronizer_options.hpp>

#include <map>
#include <vector>

namespace sdp {

/// The number of units for each number of holders. Pinned groups and blocks count as one unit each.
[[nodiscard]] std::map<int, std::size_t> holders_histogram(const assignment& a);

/// The elements that one worker keeps.
struct worker_share {
    index_t stored = 0; ///< elements whose value it keeps
    index_t trained = 0; ///< elements with gradient and, under `average`, optimizer state
    index_t owned = 0; ///< elements with optimizer state under `owner_update`
    index_t stored_maskable = 0; ///< of `stored`, elements of parameters that can be split
    index_t trained_maskable = 0;
    std::uint64_t value_bytes = 0;
    std::uint64_t gradient_bytes = 0;
    std::uint64_t optimizer_bytes = 0;
};

/// The elements that each worker keeps, with an optimizer of that many state tensors per gradient (2 for Adam, 0 for plain SGD).
[[nodiscard]] std::vector<worker_share> worker_shares(
    const model& m, const residency& r, update_mode mode = update_mode::average, int optimizer_states = 2);

/// Bytes that one worker sends in a step, computed from the formula alone. A synchronizer's counters show the same number.
///
/// For P elements with trainers T (k = |T|) and readers R = stored ∖ trained, let a trainer own o elements (P/k, rounded up or
/// down, to whole grains above 256 trainers). Under `average` it sends (P − o) + o(k−1) gradients, or P if k = 2, and o·|R|
/// values; under `owner_update` it sends (P − o) gradients and o(k−1+|R|) values. Summed over the workers this is 2(k−1)P
/// gradients. A gradient has the size of the wire format. Formula: ours, from the averaging over holders of the paper.
[[nodiscard]] std::uint64_t bytes_per_step(
    const model& m, const residency& r, int rank, update_mode mode = update_mode::average, wire_format wire = wire_format::as_is);

/// The load of the heaviest worker divided by the mean load, by the costs of the units each holds; 1 is perfect.
[[nodiscard]] double balance(const model& m, const assignment& a);

} // namespace sdp

#ifndef SDP_SEPARATE_COMPILATION
#include <sdp/src/diagnostics.ipp>
#endif
