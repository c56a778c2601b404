// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "common/learning/learner.hpp"

#include <ATen/ATen.h>

#include <algorithm>

namespace trainer {

learner::learner(const options& o, const task& t, const sdp::subnetwork& mine, const sdp::subnetwork* statistics,
    std::optional<std::span<const sdp::owned_range>> owned)
    : options_(o)
    , task_(t)
    , device_(torch_device(o.device))
    , meter_(meter_this_thread(o.device))
    , stored_(make_weights(
          t.model(), [&](sdp::parameter_id id) { return t.initial(id); }, mine, o.seed, device_, true))
    , statistics_(statistics == nullptr ? weights()
                                        : make_weights(
                                            *t.statistics(), [&](sdp::parameter_id id) { return t.initial_statistic(id); },
                                            *statistics, o.seed, device_, false))
    , network_(t.make_network(stored_, statistics_, training_settings(o, mine.rank())))
    , optimizer_([&] {
        if (owned) {
            std::int64_t size = 0;
            for (const auto& range : *owned)
                size += range.size;
            owned_values_ = at::zeros({size}, at::TensorOptions(at::kFloat).device(device_));
            owned_gradients_ = at::zeros_like(owned_values_);
            // A view per stretch, so that weight decay still goes by parameter.
            for (const auto& range : *owned) {
                auto value = owned_values_.narrow(0, range.offset, range.size);
                value.mutable_grad() = owned_gradients_.narrow(0, range.offset, range.size);
                items_.push_back({range.parameter, std::move(value)});
            }
        } else {
            for (std::size_t p = 0; p < stored_.size(); ++p)
                for (const auto& [value, trained] : stored_[p])
                    if (trained)
                        items_.push_back({sdp::parameter_id(p), value});
        }
        std::vector<optimizer::item> out;
        for (const auto& [id, value] : items_)
            out.push_back({value, t.model()[id].shape.size() > 1});
        return optimizer(o, out);
    }())
{
}

double learner::pass(const batch& b, int micro_batches)
{
    const auto before = meter_.live();
    meter_.reset_peak();
    pass_peak_ = 0;
    ++passes_;
    double out = 0;
    {
        const auto loss = network_->loss({b.inputs.to(device_), b.targets.to(device_)});
        out = loss.item().toDouble();
        (micro_batches == 1 ? loss : loss / micro_batches).backward();
    }
    look_for_peak();
    activation_peak_ = std::max(activation_peak_, pass_peak_ - before);
    return out;
}

void learner::gradient_is_final(const at::Tensor& gradient)
{
    look_for_peak();
    if (passes_ == 1) // later micro-batches add to the same tensor
        gradients_live_ += static_cast<std::int64_t>(gradient.storage().nbytes());
}

void learner::look_for_peak()
{
    const auto peak = meter_.peak();
    pass_peak_ = std::max(pass_peak_, peak);
    if (peak > highest_) {
        highest_ = peak;
        gradients_at_highest_ = gradients_live_;
    }
    meter_.reset_peak();
}

std::vector<sdp::parameter_id> learner::complete_gradients()
{
    std::vector<sdp::parameter_id> out;
    for (std::size_t p = 0; p < stored_.size(); ++p)
        for (const auto& [value, trained] : stored_[p])
            if (trained && !value.grad().defined()) {
                value.mutable_grad() = at::zeros_like(value);
                gradient_is_final(value.grad());
                out.push_back(sdp::parameter_id(p));
            }
    return out;
}

void learner::update(double rate, double gradient_norm)
{
    const double factor = clip_factor(gradient_norm, options_.clip);
    if (factor < 1)
        for (const auto& [id, value] : items_)
            value.mutable_grad().mul_(factor);
    optimizer_.step(rate);
    look_for_peak();
}

void learner::drop_gradients()
{
    for (const auto& parts : stored_)
        for (const auto& [value, trained] : parts)
            if (trained)
                value.mutable_grad() = at::Tensor();
    gradients_live_ = 0;
    passes_ = 0;
}

void learner::measure(worker_report& out)
{
    const auto add = [&](sdp::parameter_id id, std::uint64_t state_bytes::*kind, std::uint64_t bytes) {
        out.all.*kind += bytes;
        if (task_.model()[id].maskable())
            out.maskable.*kind += bytes;
    };
    out.all = out.maskable = {};
    out.held_parameters = out.held_maskable_parameters = 0;
    for (std::size_t p = 0; p < stored_.size(); ++p)
        for (const auto& [value, trained] : stored_[p]) {
            const auto id = sdp::parameter_id(p);
            const at::Tensor values[] = {value}, gradients[] = {value.grad()};
            add(id, &state_bytes::values, storage_bytes(values));
            add(id, &state_bytes::gradients, storage_bytes(gradients));
            if (trained) {
                out.held_parameters += static_cast<std::uint64_t>(value.numel());
                out.held_maskable_parameters += task_.model()[id].maskable() ? static_cast<std::uint64_t>(value.numel()) : 0;
            }
        }
    for (const auto& [id, value] : items_) {
        add(id, &state_bytes::optimizer, optimizer_.state_bytes(value));
        if (owned_values_.defined()) {
            // The shard is a second copy of what is owned, kept for the optimizer's sake.
            const auto bytes = static_cast<std::uint64_t>(value.numel()) * value.element_size();
            add(id, &state_bytes::optimizer, bytes);
            add(id, &state_bytes::gradients, bytes);
        }
    }
    out.activation_peak = static_cast<std::uint64_t>(activation_peak_);
    out.peak = static_cast<std::uint64_t>(highest_);
    out.gradients_at_peak = static_cast<std::uint64_t>(gradients_at_highest_);
    if (owned_values_.defined())
        out.gradients_at_peak += static_cast<std::uint64_t>(owned_gradients_.numel()) * owned_gradients_.element_size();
}

} // namespace trainer
