// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "evaluation.hpp"
#include "streams.hpp"

#include <sdp/random.hpp>

#include <ATen/ATen.h>

#include <algorithm>
#include <span>

namespace trainer {

evaluator::evaluator(const options& o, const llama_description& d, const text& t)
    : description_(d)
    , batches_(held_out_batches(t, o.evaluation_batches, o.batch, o.shape.sequence))
    , branch_scale_(o.rescale == rescaling::eval && o.partition != partition_kind::none ? o.coverage : 1)
{
    // The first whole line, or what fits of it.
    const auto bytes = t.held_out();
    const auto line = std::ranges::find(bytes, std::uint8_t {'\n'});
    const auto begin = line == bytes.end() ? bytes.begin() : line;
    const auto length = std::min<std::ptrdiff_t>({32, bytes.end() - begin, o.shape.sequence});
    prompt_.assign(begin, begin + length);
}

double evaluator::loss(const weights& full) const
{
    const at::NoGradGuard inference;
    const llama model(description_, full, branch_scale_);
    double sum = 0;
    for (const auto& [inputs, targets] : batches_)
        sum += static_cast<double>(model.loss(inputs, targets).item<float>());
    return sum / static_cast<double>(batches_.size());
}

std::string evaluator::sample(const weights& full, int bytes, std::uint64_t seed) const
{
    const at::NoGradGuard inference;
    const llama model(description_, full, branch_scale_);
    const sdp::counter_generator random(seed, streams::sample);
    const double temperature = 0.8;
    auto out = prompt_;
    for (int i = 0; i < bytes; ++i) {
        const auto window = std::span(out).last(std::min(out.size(), static_cast<std::size_t>(description_.shape.sequence)));
        const auto logits = model.logits(tokens_of(window)).select(1, static_cast<std::int64_t>(window.size()) - 1);
        const auto likely = at::softmax(logits.to(at::kDouble) / temperature, -1).contiguous();
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
