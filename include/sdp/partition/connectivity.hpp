// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Connectivity of an arrangement: peers of each worker, and the rate at which averaging mixes the workers.

#include <sdp/partition/assignment.hpp>

#include <vector>

namespace sdp {

/// For each worker the number of others that hold one of its units, and with whom it therefore exchanges. Pinned units do not
/// count, because all workers share them. O(S log S) per worker, with S the intervals of its holder sets.
[[nodiscard]] std::vector<int> peers_per_worker(const assignment& a);

/// True if averaging over the holders carries information from every worker to every other. Pinned units do not count.
[[nodiscard]] bool is_connected(const assignment& a);

/// The spectral gap ρ = 1 − λ₂(W), W = D_w⁻¹ A D_u⁻¹ Aᵀ, with A the workers × units incidence and D its row and column sums. It
/// says how fast averaging mixes the workers: 0 if they are not connected, 1 if all workers hold each unit. The definition is
/// ours; the paper's own could not be found. Pinned units do not count.
///
/// Up to 128 workers all eigenvalues are computed, cubic in the workers. Above, an iteration is used, linear in workers and
/// holder sets per step, with some dozens of steps, or some thousands where the gap is tiny. The iteration approaches the gap
/// from above and stops when half as many further steps change it by less than 10⁻⁶ of its value; the tests bound its error by
/// 10⁻⁴.
[[nodiscard]] double spectral_gap(const assignment& a);

} // namespace sdp

#ifndef SDP_SEPARATE_COMPILATION
#include <sdp/src/partition/connectivity.ipp>
#endif
