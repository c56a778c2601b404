// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "common/model/task.hpp"
#include "common/model/streams.hpp"

#include <algorithm>
#include <cmath>

namespace trainer {

network_settings training_settings(const options& o, int rank)
{
    return {.branch_scale = o.rescale == rescaling::train && o.partition != partition_kind::none ? 1 / o.coverage : 1,
        .dropout = o.dropout,
        .stochastic_depth = o.stochastic_depth,
        .checkpoint = o.checkpoint,
        .training = true,
        .compute = o.compute,
        .device = o.device,
        .seed = o.seed,
        .stream = streams::drops + static_cast<std::uint64_t>(rank)};
}

network_settings evaluation_settings(const options& o)
{
    network_settings out;
    out.compute = o.compute;
    out.device = o.device;
    if (o.rescale == rescaling::eval && o.partition != partition_kind::none)
        out.branch_scale = o.coverage;
    out.branch_scale *= 1 - o.stochastic_depth;
    return out;
}

std::int64_t shrunk(std::int64_t count, double coverage)
{
    return std::max<std::int64_t>(1, std::llround(static_cast<double>(count) * coverage));
}

} // namespace trainer
