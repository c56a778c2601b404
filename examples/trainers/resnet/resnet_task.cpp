// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "resnet_task.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <utility>

namespace trainer {

resnet_task::resnet_task(
    const options& o, const resnet_shape& shape, normalization_by norms, std::shared_ptr<const image_collection> data)
    : options_(o)
    , description_(describe(shape, o.pin, o.balance))
    , norms_(norms)
    , images_(std::move(data))
{
    if (images_)
        held_out_ = held_out_batches(*images_, o.evaluation_batches, o.batch);
}

std::unique_ptr<network> resnet_task::make_network(
    const weights& stored, const weights& statistics, const network_settings& settings) const
{
    return std::make_unique<resnet>(description_, stored, statistics, settings);
}

std::unique_ptr<data_source> resnet_task::training_data(int rank, int world) const
{
    const auto& s = description_.shape;
    if (!images_)
        return std::make_unique<image_noise>(image_shape {s.inputs, s.side}, rank, options_.seed);
    return std::make_unique<image_shard>(*images_, rank, world, options_.batch, options_.seed);
}

weights resnet_task::recalibrated(const weights& full) const
{
    constexpr int batches = 16;
    const auto device = full.front().front().value.device();
    auto out = make_full_weights(description_.statistics);
    for (auto& parts : out)
        parts.front().value.zero_();
    out = to_device(out, device);
    auto settings = evaluation_settings(options_); // nothing is dropped
    settings.training = true;
    resnet model(description_, full, out, settings);
    const auto data = training_data(0, 1);
    for (int i = 0; i < batches; ++i) {
        const auto number = (std::uint64_t {1} << 41) + static_cast<std::uint64_t>(i); // beyond what the training reads
        model.collect(data->read(options_.batch, number).inputs, 1.0 / (i + 1));
    }
    return out;
}

score resnet_task::evaluate(const weights& full, const weights& statistics) const
{
    const at::NoGradGuard inference;
    const auto used = norms_ == normalization_by::recalibrate ? recalibrated(full) : statistics;
    const resnet model(description_, full, used, evaluation_settings(options_));
    double sum = 0, right = 0, count = 0;
    for (const auto& b : held_out_) {
        const auto logits = model.logits(b.inputs).to(at::kCPU, at::kFloat);
        sum += at::cross_entropy_loss(logits, b.targets).item().toDouble();
        right += logits.argmax(1).eq(b.targets).sum().item().toDouble();
        count += static_cast<double>(b.targets.numel());
    }
    return {sum / static_cast<double>(held_out_.size()), right / count};
}

} // namespace trainer
