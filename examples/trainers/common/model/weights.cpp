// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "common/model/weights.hpp"
#include "common/model/streams.hpp"
#include "common/settings/sentence.hpp"

#include <sdp/adapters/torch.hpp>
#include <sdp/random.hpp>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

namespace trainer {

at::Tensor whole(const sdp::model& m, const weights& stored, sdp::parameter_id id)
{
    const auto& parts = stored[sdp::index_of(id)];
    if (parts.size() > 1)
        fail("parameter '", m[id].name, "' is stored in ", parts.size(), " parts; expected at most one");
    return parts.empty() ? at::Tensor() : parts.front().value;
}

weights make_weights(const sdp::model& m, const std::function<initial_value(sdp::parameter_id)>& initial,
    const sdp::subnetwork& mine, std::uint64_t seed, c10::Device device, bool gradients)
{
    weights out(m.parameters().size());
    for (std::size_t p = 0; p < out.size(); ++p) {
        const auto id = sdp::parameter_id(p);
        const auto [mean, deviation] = initial(id);
        const sdp::counter_generator random(seed, streams::weights + p);
        for (const auto& slab : mine.slabs(id)) {
            auto value = at::empty({slab.shape.begin(), slab.shape.size()}, at::kFloat);
            if (deviation == 0)
                value.fill_(mean);
            else
                sdp::initialize(value, slab, [&, mean = mean, deviation = deviation](sdp::index_t i) {
                    return mean + deviation * random.normal(static_cast<std::uint64_t>(i));
                });
            out[p].push_back({value.to(device).requires_grad_(gradients && slab.trained), slab.trained});
        }
    }
    return out;
}

weights make_full_weights(const sdp::model& m)
{
    weights out;
    for (const auto& p : m.parameters())
        out.push_back({{at::empty({p.shape.begin(), p.shape.size()}, at::kFloat), false}});
    return out;
}

weights to_device(const weights& from, c10::Device device)
{
    auto out = from;
    for (auto& parts : out)
        for (auto& part : parts)
            part.value = part.value.to(device);
    return out;
}

struct gradient_listener::state {
    function ready;
    /// A variable refers to its own only weakly. What owns a node is another pointer from some version of libtorch on.
    std::vector<decltype(torch::autograd::impl::grad_accumulator(std::declval<const at::Tensor&>()))> accumulators;

    struct hook final : torch::autograd::FunctionPostHook {
        hook(state& s, sdp::parameter_id p, const at::Tensor& v)
            : owner(s)
            , id(p)
            , variable(v)
        {
        }
        torch::autograd::variable_list operator()(
            const torch::autograd::variable_list& outputs, const torch::autograd::variable_list&) override
        {
            owner.ready(id, variable.grad());
            return outputs;
        }
        state& owner;
        sdp::parameter_id id;
        // The accumulator owns the variable as well, and a handle here makes no circle: a variable does not own it.
        at::Tensor variable;
    };
};

gradient_listener::gradient_listener(const weights& stored, function ready)
    : state_(new state {std::move(ready), {}})
{
    for (std::size_t p = 0; p < stored.size(); ++p)
        for (const auto& [value, trained] : stored[p])
            if (trained) {
                auto accumulator = torch::autograd::impl::grad_accumulator(value);
                accumulator->add_post_hook(std::make_unique<state::hook>(*state_, sdp::parameter_id(p), value));
                state_->accumulators.push_back(std::move(accumulator));
            }
}

gradient_listener::~gradient_listener() = default;

} // namespace trainer
