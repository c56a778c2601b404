// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The partition and the masking regime that the command line names, as one policy and one regime.
///
/// A policy is only a function from a model and a world size to an assignment, and a regime two functions of a unit's holders.
/// So a choice at run time is a policy or a regime too, and the training loop is instantiated once instead of once for each.

#include "common/model/task.hpp"
#include "common/settings/options.hpp"

#include <sdp/masking/regime.hpp>
#include <sdp/partition/block.hpp>
#include <sdp/partition/neuron.hpp>
#include <sdp/partition/policy.hpp>

#include <variant>
#include <vector>

namespace trainer {

/// Gives each worker blocks that follow each other, whatever they cost: what a balanced partition is compared with.
struct consecutive_blocks {
    double coverage = 0.5;

    [[nodiscard]] sdp::assignment operator()(const sdp::model& m, int world) const
    {
        const int k = sdp::holders_for(coverage, world);
        sdp::assignment out(m, world);
        const auto count = m.blocks().size();
        for (std::size_t b = 0; b < count; ++b) {
            const auto first = static_cast<int>(b * static_cast<std::size_t>(world) / count);
            std::vector<int> holders;
            for (int i = 0; i < k; ++i)
                holders.push_back((first + i) % world);
            out.assign(sdp::block_id(b), sdp::rank_set(holders));
        }
        return out;
    }
};

struct chosen_partition {
    using neurons = sdp::combined<sdp::neuron_partition, sdp::neuron_partition>;

    std::variant<sdp::pinned, sdp::neuron_partition, neurons, sdp::block_partition, consecutive_blocks> policy;

    chosen_partition(const options& o, const task& t)
    {
        if (o.partition == partition_kind::neuron) {
            const sdp::neuron_partition narrow {
                .coverage = o.coverage, .granularity = o.granularity, .seed = o.seed + 1, .groups = t.narrow_groups()};
            if (t.wide_groups().empty())
                policy = narrow;
            else
                policy = neurons({.coverage = o.coverage, .granularity = 1, .seed = o.seed, .groups = t.wide_groups()}, narrow);
        } else if (o.partition == partition_kind::block) {
            if (o.balance == balancing::none)
                policy = consecutive_blocks {o.coverage};
            else
                policy = sdp::block_partition {.coverage = o.coverage, .seed = o.seed, .blocks = "*"};
        }
    }

    [[nodiscard]] sdp::assignment operator()(const sdp::model& m, int world) const
    {
        return std::visit([&](const auto& p) { return p(m, world); }, policy);
    }
};

struct chosen_masking {
    masking_kind kind = masking_kind::forward;

    static constexpr bool by_holders_alone = true;
    [[nodiscard]] sdp::rank_set stored_by(const sdp::unit_view& unit) const
    {
        return kind == masking_kind::backward ? sdp::rank_set::all(unit.world) : unit.holders;
    }
    [[nodiscard]] sdp::rank_set trained_by(const sdp::unit_view& unit) const { return unit.holders; }
};
static_assert(sdp::masking_regime<chosen_masking>);

/// An assignment that is known already, for another model of the same blocks and groups.
struct known_assignment {
    const sdp::assignment* holders;
    [[nodiscard]] sdp::assignment operator()(const sdp::model&, int) const { return *holders; }
};

} // namespace trainer
