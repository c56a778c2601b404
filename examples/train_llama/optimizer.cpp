// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "optimizer.hpp"
#include "memory.hpp"

#include <torch/optim/adamw.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <type_traits>
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
    return norm > limit ? limit / norm : 1;
}

struct adamw::state {
    torch::optim::AdamW optimizer;
};

adamw::adamw(std::span<const item> items)
{
    std::vector<at::Tensor> decayed, plain;
    for (const auto& [value, decay] : items)
        (decay ? decayed : plain).push_back(value);
    const auto defaults = torch::optim::AdamWOptions().betas({0.9, 0.95}).weight_decay(0.1);
    std::vector<torch::optim::OptimizerParamGroup> groups;
    if (!decayed.empty())
        groups.emplace_back(std::move(decayed), std::make_unique<torch::optim::AdamWOptions>(defaults));
    if (!plain.empty()) {
        auto options = std::make_unique<torch::optim::AdamWOptions>(defaults);
        options->weight_decay(0);
        groups.emplace_back(std::move(plain), std::move(options));
    }
    state_ = std::make_unique<state>(state {torch::optim::AdamW(std::move(groups), defaults)});
}

adamw::adamw(adamw&&) noexcept = default;
adamw::~adamw() = default;

void adamw::step(double rate)
{
    for (auto& group : state_->optimizer.param_groups())
        static_cast<torch::optim::AdamWOptions&>(group.options()).lr(rate);
    state_->optimizer.step();
}

std::uint64_t adamw::state_bytes(const at::Tensor& value) const
{
    const auto& states = state_->optimizer.state();
    // Keyed by the printed pointer up to some version, and by the pointer itself after it.
    const auto found = [&](const auto& map) {
        if constexpr (std::is_same_v<typename std::remove_cvref_t<decltype(map)>::key_type, std::string>)
            return map.find(c10::guts::to_string(value.unsafeGetTensorImpl()));
        else
            return map.find(value.unsafeGetTensorImpl());
    }(states);
    if (found == states.end())
        return 0;
    const auto& s = static_cast<const torch::optim::AdamWParamState&>(*found->second);
    const at::Tensor kept[] = {s.exp_avg(), s.exp_avg_sq(), s.max_exp_avg_sq()};
    return storage_bytes(kept);
}

} // namespace trainer
