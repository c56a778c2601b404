// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "common/learning/optimizer.hpp"
#include "common/backends/memory.hpp"

#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <sstream>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace trainer {

double learning_rate(int step, int steps, int warmup, double highest)
{
    if (step < warmup)
        return highest * (step + 1) / warmup;
    const double done = steps > warmup ? static_cast<double>(step - warmup) / (steps - warmup) : 1;
    const double lowest = highest / 10;
    return lowest + (highest - lowest) * (1 + std::cos(std::numbers::pi * done)) / 2;
}

double clip_factor(double norm, double limit)
{
    return limit > 0 && norm > limit ? limit / norm : 1;
}

namespace {
    /// Two groups of parameters, with and without weight decay.
    template <class Options>
    std::vector<torch::optim::OptimizerParamGroup> groups_of(std::span<const optimizer::item> items, const Options& defaults)
    {
        std::vector<at::Tensor> decayed, plain;
        for (const auto& [value, decay] : items)
            (decay ? decayed : plain).push_back(value);
        std::vector<torch::optim::OptimizerParamGroup> out;
        if (!decayed.empty())
            out.emplace_back(std::move(decayed), std::make_unique<Options>(defaults));
        if (!plain.empty()) {
            auto options = std::make_unique<Options>(defaults);
            options->weight_decay(0);
            out.emplace_back(std::move(plain), std::move(options));
        }
        return out;
    }
} // namespace

struct optimizer::state {
    std::unique_ptr<torch::optim::Optimizer> rule;
    optimizer_kind kind;
};

optimizer::optimizer(const options& o, std::span<const item> items)
    : state_(new state {nullptr, o.optimizer})
{
    if (o.optimizer == optimizer_kind::sgd) {
        const auto defaults = torch::optim::SGDOptions(o.learning_rate).momentum(o.momentum).weight_decay(o.weight_decay);
        state_->rule = std::make_unique<torch::optim::SGD>(groups_of(items, defaults), defaults);
    } else {
        const auto defaults = torch::optim::AdamWOptions().betas({0.9, 0.95}).weight_decay(o.weight_decay);
        state_->rule = std::make_unique<torch::optim::AdamW>(groups_of(items, defaults), defaults);
    }
}

optimizer::optimizer(optimizer&&) noexcept = default;
optimizer::~optimizer() = default;

void optimizer::step(double rate)
{
    for (auto& group : state_->rule->param_groups())
        group.options().set_lr(rate);
    state_->rule->step();
}

std::uint64_t optimizer::state_bytes(const at::Tensor& value) const
{
    const auto& states = state_->rule->state();
    // Keyed by the printed pointer up to some version, and by the pointer itself after it.
    const auto found = [&](const auto& map) {
        if constexpr (std::is_same_v<typename std::remove_cvref_t<decltype(map)>::key_type, std::string>) {
            std::ostringstream printed;
            printed << value.unsafeGetTensorImpl();
            return map.find(printed.str());
        } else {
            return map.find(value.unsafeGetTensorImpl());
        }
    }(states);
    if (found == states.end())
        return 0;
    if (state_->kind == optimizer_kind::sgd) {
        const at::Tensor kept[] = {static_cast<const torch::optim::SGDParamState&>(*found->second).momentum_buffer()};
        return storage_bytes(kept);
    }
    const auto& s = static_cast<const torch::optim::AdamWParamState&>(*found->second);
    const at::Tensor kept[] = {s.exp_avg(), s.exp_avg_sq(), s.max_exp_avg_sq()};
    return storage_bytes(kept);
}

} // namespace trainer
