// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "learner.hpp"

#include <ATen/ATen.h>

#include <algorithm>

namespace trainer {

namespace {
    double training_scale(const options& o)
    {
        return o.rescale == rescaling::train && o.partition != partition_kind::none ? 1 / o.coverage : 1;
    }
} // namespace

learner::learner(const options& o, const llama_description& d, const sdp::subnetwork& mine,
    std::optional<std::span<const sdp::owned_range>> owned)
    : meter_(meter_this_thread())
    , description_(d)
    , stored_(make_weights(d, mine, o.seed))
    , model_(d, stored_, training_scale(o))
    , optimizer_([&] {
        if (owned) {
            std::int64_t size = 0;
            for (const auto& range : *owned)
                size += range.size;
            owned_values_ = at::zeros({size}, at::kFloat);
            owned_gradients_ = at::zeros({size}, at::kFloat);
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
        std::vector<adamw::item> out;
        for (const auto& [id, value] : items_)
            out.push_back({value, d.model[id].shape.size() > 1});
        return adamw(out);
    }())
{
}

double learner::pass(const batch& b, int micro_batches)
{
    const auto before = meter_.live();
    meter_.reset_peak();
    double out = 0;
    {
        const auto loss = model_.loss(b.inputs, b.targets);
        out = static_cast<double>(loss.item<float>());
        (micro_batches == 1 ? loss : loss / micro_batches).backward();
    }
    activation_peak_ = std::max(activation_peak_, meter_.peak() - before);
    return out;
}

std::vector<sdp::parameter_id> learner::complete_gradients()
{
    std::vector<sdp::parameter_id> out;
    for (std::size_t p = 0; p < stored_.size(); ++p)
        for (const auto& [value, trained] : stored_[p])
            if (trained && !value.grad().defined()) {
                value.mutable_grad() = at::zeros_like(value);
                out.push_back(sdp::parameter_id(p));
            }
    return out;
}

void learner::update(double rate, double gradient_norm)
{
    const double factor = clip_factor(gradient_norm);
    if (factor < 1)
        for (const auto& [id, value] : items_)
            value.mutable_grad().mul_(factor);
    optimizer_.step(rate);
}

void learner::drop_gradients()
{
    for (const auto& parts : stored_)
        for (const auto& [value, trained] : parts)
            if (trained)
                value.mutable_grad() = at::Tensor();
}

void learner::measure(worker_report& out) const
{
    const auto add = [&](sdp::parameter_id id, std::uint64_t state_bytes::*kind, std::uint64_t bytes) {
        out.all.*kind += bytes;
        if (description_.model[id].maskable())
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
                out.held_maskable_parameters += description_.model[id].maskable() ? static_cast<std::uint64_t>(value.numel()) : 0;
            }
        }
    for (const auto& [id, value] : items_) {
        add(id, &state_bytes::optimizer, optimizer_.state_bytes(value));
        if (owned_values_.defined()) {
            // The shard is a second copy of what is owned, kept for the optimizer's sake.
            add(id, &state_bytes::optimizer, static_cast<std::uint64_t>(value.numel()) * value.element_size());
            add(id, &state_bytes::gradients, static_cast<std::uint64_t>(value.numel()) * value.element_size());
        }
    }
    out.activation_peak = static_cast<std::uint64_t>(activation_peak_);
}

} // namespace trainer
