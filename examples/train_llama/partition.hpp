// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The partition that the command line names, as one partition policy.
///
/// A policy is only a function from a model and a world size to an assignment, so a choice at run time is a policy too,
/// and the training loop is instantiated once instead of once per policy.

#include "options.hpp"

#include <sdp/partition/block.hpp>
#include <sdp/partition/neuron.hpp>
#include <sdp/partition/policy.hpp>

#include <variant>

namespace trainer {

struct chosen_partition {
    /// Heads are few and wide, so only hidden neurons are taken together by granularity.
    using neurons = sdp::combined<sdp::neuron_partition, sdp::neuron_partition>;

    std::variant<sdp::pinned, neurons, sdp::block_partition> policy;

    explicit chosen_partition(const options& o)
    {
        if (o.partition == partition_kind::neuron)
            policy = neurons({.coverage = o.coverage, .granularity = 1, .seed = o.seed, .groups = "*.heads"},
                {.coverage = o.coverage, .granularity = o.granularity, .seed = o.seed + 1, .groups = "*.hidden"});
        else if (o.partition == partition_kind::block)
            policy = sdp::block_partition {.coverage = o.coverage, .seed = o.seed, .blocks = "*"};
    }

    [[nodiscard]] sdp::assignment operator()(const sdp::model& m, int world) const
    {
        return std::visit([&](const auto& p) { return p(m, world); }, policy);
    }
};

} // namespace trainer
