// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "common/model/drops.hpp"

#include <sdp/random.hpp>

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

namespace trainer {

namespace {
    constexpr std::uint64_t places = 1 << 16; ///< of one pass
}

bool drops::skips(std::uint64_t branch) const
{
    if (!settings_.training || settings_.stochastic_depth == 0)
        return false;
    const sdp::counter_generator random(settings_.seed, settings_.stream);
    return random.uniform(pass_ * places + branch) < settings_.stochastic_depth;
}

at::Tensor drops::thin(const at::Tensor& x, std::uint64_t pass, std::uint64_t place) const
{
    if (!settings_.training || settings_.dropout == 0)
        return x;
    const sdp::counter_generator random(settings_.seed + 1, settings_.stream);
    const auto generator = at::detail::createCPUGenerator(random.bits(pass * places + place));
    const double kept = 1 - settings_.dropout;
    return x * at::empty(x.sizes()).bernoulli_(kept, generator).div_(kept).to(x.options());
}

} // namespace trainer
