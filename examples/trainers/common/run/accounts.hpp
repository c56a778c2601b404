// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Expected costs of a run, by formula, to compare with the counted ones.

#include "common/learning/worker.hpp"
#include "common/model/partition.hpp"
#include "common/run/run.hpp"

#include <sdp/diagnostics.hpp>
#include <sdp/partition/connectivity.hpp>

#include <algorithm>
#include <cstdint>

namespace trainer {

/// Bytes that a worker sends per step, by formula.
[[nodiscard]] inline std::uint64_t formula(
    const options& o, const sdp::model& m, const sdp::assignment& holders, int rank, masking_kind masking)
{
    const auto s = synchronization(o);
    return sdp::bytes_per_step(m, sdp::residency(m, holders, chosen_masking {masking}), rank, s.update, s.wire);
}

/// Memory and traffic of plain data parallelism.
inline void describe_dense(const options& o, const sdp::model& m, int world, run_report& out)
{
    const std::uint64_t state_per_value = o.optimizer == optimizer_kind::adamw ? 8 : o.momentum > 0 ? 4 : 0;
    const auto state = [&](std::uint64_t elements) {
        return state_bytes {4 * elements, 4 * elements, state_per_value * elements};
    };
    auto dense = o;
    dense.owner_update = false;
    out.full_parameters = static_cast<std::uint64_t>(m.size());
    out.maskable_parameters = static_cast<std::uint64_t>(m.maskable_size());
    out.dense = state(out.full_parameters);
    out.dense_maskable = state(out.maskable_parameters);
    for (int rank = 0; rank < world; ++rank)
        out.dense_bytes_sent
            = std::max(out.dense_bytes_sent, formula(dense, m, sdp::pinned {}(m, world), rank, masking_kind::forward));
}

/// Figures of a run that need no run.
inline void describe(const job& work, const sdp::assignment& holders, int world, run_report& out)
{
    out.world = world;
    out.item = work.what->item();
    out.spectral_gap = sdp::spectral_gap(holders);
    describe_dense(work.o, work.what->model(), world, out);
}

} // namespace trainer
