// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "llama_task.hpp"
#include "common/model/streams.hpp"

#include <sdp/random.hpp>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <span>

namespace trainer {

llama_task::llama_task(const options& o, const llama_shape& shape, std::shared_ptr<const text> data)
    : options_(o)
    , description_(describe(shape, o.pin, o.balance))
    , text_(std::move(data))
{
    if (!text_)
        return;
    held_out_ = held_out_batches(*text_, o.evaluation_batches, o.batch, shape.sequence);
    // The first whole line, or what fits of it.
    const auto bytes = text_->held_out();
    const auto line = std::ranges::find(bytes, std::uint8_t {'\n'});
    const auto begin = line == bytes.end() ? bytes.begin() : line;
    const auto length = std::min<std::ptrdiff_t>({32, bytes.end() - begin, shape.sequence});
    prompt_.assign(begin, begin + length);
}

std::unique_ptr<network> llama_task::make_network(const weights& stored, const weights&, const network_settings& settings) const
{
    return std::make_unique<llama>(description_, stored, settings);
}

std::unique_ptr<data_source> llama_task::training_data(int rank, int world) const
{
    const auto length = description_.shape.sequence;
    if (!text_)
        return std::make_unique<noise>(length, rank, options_.seed);
    return std::make_unique<shard>(*text_, rank, world, length, options_.seed);
}

score llama_task::evaluate(const weights& full, const weights&) const
{
    const at::NoGradGuard inference;
    llama model(description_, full, evaluation_settings(options_));
    double sum = 0;
    for (const auto& b : held_out_)
        sum += model.loss(b).item().toDouble();
    return {sum / static_cast<double>(held_out_.size()), {}};
}

std::string llama_task::sample(const weights& full) const
{
    const at::NoGradGuard inference;
    llama model(description_, full, evaluation_settings(options_));
    const sdp::counter_generator random(options_.seed, streams::sample);
    const double temperature = 0.8;
    auto out = prompt_;
    for (int i = 0; i < options_.sample; ++i) {
        const auto window = std::span(out).last(std::min(out.size(), static_cast<std::size_t>(description_.shape.sequence)));
        const auto logits = model.logits(tokens_of(window)).select(1, static_cast<std::int64_t>(window.size()) - 1);
        const auto likely = at::softmax(logits.cpu().to(at::kDouble) / temperature, -1).contiguous();
        const double* const p = likely.data_ptr<double>();
        double left = random.uniform(static_cast<std::uint64_t>(i));
        std::int64_t next = 0;
        while (next + 1 < likely.numel() && (left -= p[next]) >= 0)
            ++next;
        out.push_back(static_cast<std::uint8_t>(next));
    }
    return {out.begin(), out.end()};
}

} // namespace trainer
