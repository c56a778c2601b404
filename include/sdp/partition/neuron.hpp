// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Neuron-level partition: splits inner dimensions (hidden units, heads, channels) over the workers.

#include <sdp/partition/holder_design.hpp>
#include <sdp/partition/policy.hpp>

#include <optional>
#include <string>

namespace sdp {

/// Assigns every unit of `granularity` neurons of the selected groups to exactly k = C·N workers. Leaves blocks pinned.
///
/// Neurons of a group are interchangeable, so the policy sorts the units after it has drawn the holder sets: units with the same
/// holders become neighbours. A worker then stores and sends a few long runs at any granularity.
///
/// - Complexity: O(U·N) for U units; for the bounded designs see `holder_design`. Memory per worker: C of all that is split.
/// - Bytes sent per worker and step: 2C(k−1)/k model sizes under forward masking.
/// - Peers: up to N−1, or as few as the `holder_design` says.
/// - Balance: within one unit in every group. It is within two where units are so few, U(k−1) < 2(N−1), that unlike units have to
///   be exchanged to connect the workers. `holder_design` states the balance of the bounded designs.
/// - Source: the paper defines the level; the design is ours.
///
/// The arrangement connects all workers whenever k ≥ 2 and U(k−1) ≥ N−1, that is, with units enough. Prefer `block_partition` if
/// whole branches may be absent: it saves their activations too.
struct neuron_partition {
    std::optional<double> coverage {}; ///< C = k/N; give this or `holders`
    std::optional<int> holders {}; ///< k
    index_t granularity = 1; ///< neurons per unit; the last unit of a group may have fewer
    std::uint64_t seed = 0;
    std::string groups = "*"; ///< names of the groups to split; `*` and `?` as in a shell
    holder_design design = holder_design::random; ///< rule that chooses holders; all but `random` bound the number of peers
    int divisions = 3; ///< m of the design `cells`: number of divisions of the workers into cells, 2 to 64

    /// @throws sdp::input_error unless one of coverage and holders is given and gives 1 to N holders, or if `granularity` < 1, no
    /// group is selected, `divisions` is out of
    ///         range, or a bounded design has too few units for every worker to hold one
    [[nodiscard]] assignment operator()(const model& m, int world) const;
};

} // namespace sdp

#ifndef SDP_SEPARATE_COMPILATION
#include <sdp/src/partition/neuron.ipp>
#endif
