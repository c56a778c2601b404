// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Block-level partition: assigns whole residual branches to workers, balanced by cost.

#include <sdp/partition/holder_design.hpp>
#include <sdp/partition/policy.hpp>

#include <optional>
#include <string>

namespace sdp {

/// Assigns every selected block to exactly k = C·N workers, with costs per worker as equal as the blocks allow. Leaves neuron
/// groups pinned. The skip path around a block always remains: a worker without the block passes the block's input on unchanged.
///
/// - Complexity: O(U·N) for U blocks and each of up to 64 restarts, all bounded in steps. A bounded design takes O(U·k) beyond
///   the cost of its `holder_design`. Memory per worker: C of all that is split.
/// - Bytes sent per worker and step: 2C(k−1)/k model sizes under forward masking.
/// - Peers: up to N−1, or as few as the `holder_design` says.
/// - Balance: the load of the heaviest worker is within 10 % of the mean wherever such an arrangement was found. The bounded
///   designs do not search: the loads of their heaviest and lightest worker differ by about the heaviest block where k divides N,
///   and by up to about m + 2 times the heaviest block elsewhere.
/// - Source: the paper defines the level; the balancing is ours.
///
/// The arrangement connects all workers whenever k ≥ 2 and U(k−1) ≥ N−1, that is, with blocks enough.
struct block_partition {
    std::optional<double> coverage {}; ///< C = k/N; give this or `holders`
    std::optional<int> holders {}; ///< k
    std::uint64_t seed = 0;
    std::string blocks = "*"; ///< names of the blocks to split; `*` and `?` as in a shell
    holder_design design = holder_design::random; ///< rule that chooses holders; all but `random` bound the number of peers
    int divisions = 3; ///< m of the design `cells`: number of divisions of the workers into cells, 2 to 64

    /// @throws sdp::input_error unless one of coverage and holders is given and gives 1 to N holders, or if no block is selected,
    /// `divisions` is out of range, or a bounded
    ///         design has too few blocks for every worker to hold one
    [[nodiscard]] assignment operator()(const model& m, int world) const;
};

} // namespace sdp

#ifndef SDP_SEPARATE_COMPILATION
#include <sdp/src/partition/block.ipp>
#endif
