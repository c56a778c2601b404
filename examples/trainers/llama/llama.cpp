// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "llama.hpp"
#include "common/settings/precision.hpp"
#include "common/settings/recompute.hpp"
#include "common/settings/sentence.hpp"

#include <sdp/error.hpp>

#include <ATen/ATen.h>

#include <cmath>
#include <limits>
#include <optional>

namespace trainer {

llama_description describe(const llama_shape& shape, pinning pin, balancing balance)
{
    llama_description out {shape, {}, {}};
    auto& m = out.model;
    auto& ids = out.parameters;
    const auto queries_per_kv = shape.heads / shape.kv_heads * shape.head_dim;
    const auto q_rows = shape.heads * shape.head_dim, kv_rows = shape.kv_heads * shape.head_dim;

    ids.embedding = m.add_parameter("embedding", {shape.vocabulary, shape.hidden});
    for (std::int64_t i = 0; i < shape.layers; ++i) {
        const auto name = sentence("layer", i, ".");
        const bool pinned = (i == 0 && (pin == pinning::first || pin == pinning::ends))
            || (i + 1 == shape.layers && (pin == pinning::last || pin == pinning::ends));
        sdp::placement attention, ffn;
        const auto on = [&](sdp::placement place, int axis, const std::optional<sdp::group_id>& group, sdp::index_t stride) {
            if (group)
                place.axes = {{axis, *group, stride}};
            return place;
        };
        std::optional<sdp::group_id> heads, hidden;
        if (!pinned) {
            // Multiplications for a token: the projections, the scores and what they weigh.
            const auto attention_work = 2 * (q_rows + kv_rows) * shape.hidden + 2 * shape.sequence * q_rows;
            const auto ffn_work = 3 * shape.ffn * shape.hidden;
            const bool by_work = balance == balancing::work;
            attention.within = m.add_block(name + "attention", by_work ? static_cast<double>(attention_work) : 0);
            ffn.within = m.add_block(name + "ffn", by_work ? static_cast<double>(ffn_work) : 0);
            heads = m.add_group(name + "heads", shape.kv_heads);
            hidden = m.add_group(name + "hidden", shape.ffn);
        }
        llama_parameters::layer l {};
        l.attention_norm = m.add_parameter(name + "attention_norm", {shape.hidden}, attention);
        l.q = m.add_parameter(name + "q", {q_rows, shape.hidden}, on(attention, 0, heads, queries_per_kv));
        l.k = m.add_parameter(name + "k", {kv_rows, shape.hidden}, on(attention, 0, heads, shape.head_dim));
        l.v = m.add_parameter(name + "v", {kv_rows, shape.hidden}, on(attention, 0, heads, shape.head_dim));
        l.o = m.add_parameter(name + "o", {shape.hidden, q_rows}, on(attention, 1, heads, queries_per_kv));
        l.ffn_norm = m.add_parameter(name + "ffn_norm", {shape.hidden}, ffn);
        l.gate = m.add_parameter(name + "gate", {shape.ffn, shape.hidden}, on(ffn, 0, hidden, 1));
        l.up = m.add_parameter(name + "up", {shape.ffn, shape.hidden}, on(ffn, 0, hidden, 1));
        l.down = m.add_parameter(name + "down", {shape.hidden, shape.ffn}, on(ffn, 1, hidden, 1));
        ids.layers.push_back(l);
    }
    ids.final_norm = m.add_parameter("final_norm", {shape.hidden});
    ids.head = m.add_parameter("head", {shape.vocabulary, shape.hidden});
    return out;
}

initial_value initial(const llama_description& d, sdp::parameter_id id)
{
    if (d.model[id].shape.size() < 2)
        return {1, 0};
    for (const auto& l : d.parameters.layers)
        if (id == l.o || id == l.down)
            return {0, 0.02 / std::sqrt(2 * static_cast<double>(d.shape.layers))};
    return {0, 0.02};
}

namespace {
    at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& scale)
    {
        return x * at::rsqrt(at::mean(x.square(), at::IntArrayRef {-1}, true) + 1e-5) * scale;
    }
} // namespace

llama::llama(const llama_description& d, const weights& stored, const network_settings& settings)
    : shape_(d.shape)
    , settings_(settings)
    , drops_(settings)
{
    const auto& ids = d.parameters;
    const auto part = [&](sdp::parameter_id id, std::size_t i) { return stored[sdp::index_of(id)].at(i).value; };
    embedding_ = whole(d.model, stored, ids.embedding);
    final_norm_ = whole(d.model, stored, ids.final_norm);
    head_ = whole(d.model, stored, ids.head);
    for (const auto& l : ids.layers) {
        layer out;
        out.pinned = !d.model[l.q].maskable();
        out.scale = out.pinned ? 1 : settings.branch_scale; // a pinned layer is never absent
        out.attention_norm = whole(d.model, stored, l.attention_norm);
        out.ffn_norm = whole(d.model, stored, l.ffn_norm);
        for (std::size_t i = 0; i < stored[sdp::index_of(l.q)].size(); ++i)
            out.attention.push_back({part(l.q, i), part(l.k, i), part(l.v, i), part(l.o, i)});
        for (std::size_t i = 0; i < stored[sdp::index_of(l.gate)].size(); ++i)
            out.ffn.push_back({part(l.gate, i), part(l.up, i), part(l.down, i)});
        layers_.push_back(std::move(out));
    }

    const auto length = shape_.sequence, half = shape_.head_dim / 2;
    cosines_ = at::empty({length, 1, half}, at::kDouble);
    sines_ = at::empty({length, 1, half}, at::kDouble);
    for (std::int64_t t = 0; t < length; ++t)
        for (std::int64_t i = 0; i < half; ++i) {
            const double angle = static_cast<double>(t) * std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(half));
            cosines_.data_ptr<double>()[t * half + i] = std::cos(angle);
            sines_.data_ptr<double>()[t * half + i] = std::sin(angle);
        }
    cosines_ = cosines_.to(embedding_.options().requires_grad(false));
    sines_ = sines_.to(cosines_.options());
    causal_ = at::full({length, length}, -std::numeric_limits<double>::infinity(), cosines_.options()).triu_(1);
}

/// Rotary positions on [sequences, length, heads, head_dim].
at::Tensor llama::rotate(const at::Tensor& x) const
{
    const auto length = x.size(1), half = x.size(3) / 2;
    const auto c = cosines_.narrow(0, 0, length), s = sines_.narrow(0, 0, length);
    const auto a = x.narrow(3, 0, half), b = x.narrow(3, half, half);
    return at::cat({a * c - b * s, b * c + a * s}, 3);
}

/// Attention outputs of some of the heads, side by side.
at::Tensor llama::attend(const attention_part& part, const at::Tensor& x) const
{
    const auto sequences = x.size(0), length = x.size(1), dim = shape_.head_dim;
    const auto kv = part.k.size(0) / dim, group = part.q.size(0) / part.k.size(0);
    // The queries of a group share a key and a value head, so they are rows of one matrix product.
    const auto q = rotate(at::linear(x, part.q).view({sequences, length, kv * group, dim}))
                       .view({sequences, length, kv, group, dim})
                       .permute({0, 2, 3, 1, 4})
                       .reshape({sequences * kv, group * length, dim});
    const auto k = rotate(at::linear(x, part.k).view({sequences, length, kv, dim}))
                       .permute({0, 2, 3, 1})
                       .reshape({sequences * kv, dim, length});
    const auto v
        = at::linear(x, part.v).view({sequences, length, kv, dim}).permute({0, 2, 1, 3}).reshape({sequences * kv, length, dim});
    const auto scores = at::bmm(q * (1 / std::sqrt(static_cast<double>(dim))), k)
                            .view({sequences * kv, group, length, length})
                            .add_(causal_.narrow(0, 0, length).narrow(1, 0, length));
    const auto mixed = at::bmm(at::softmax(scores, -1).view({sequences * kv, group * length, length}), v)
                           .view({sequences, kv, group, length, dim})
                           .permute({0, 3, 1, 2, 4})
                           .reshape({sequences, length, kv * group * dim});
    return mixed;
}

namespace {
    // One part is the common case and must not differ from an unsplit model by so much as an addition of zero.
    template <class Parts, class Output> at::Tensor sum(const Parts& parts, double scale, Output output)
    {
        auto y = output(parts.front(), std::size_t {0});
        for (std::size_t i = 1; i < parts.size(); ++i)
            y = y + output(parts[i], i);
        return scale == 1 ? y : y * scale;
    }
} // namespace

at::Tensor llama::attention_branch(std::size_t i, std::uint64_t pass, const at::Tensor& x) const
{
    const auto& l = layers_[i];
    const auto in = rms_norm(x, l.attention_norm);
    return sum(l.attention, l.scale, [&](const attention_part& part, std::size_t number) {
        return at::linear(drops_.thin(attend(part, in), pass, 4 * i + number), part.o);
    });
}

at::Tensor llama::ffn_branch(std::size_t i, std::uint64_t pass, const at::Tensor& x) const
{
    const auto& l = layers_[i];
    const auto in = rms_norm(x, l.ffn_norm);
    return sum(l.ffn, l.scale, [&](const ffn_part& part, std::size_t number) {
        const auto hidden = at::silu(at::linear(in, part.gate)) * at::linear(in, part.up);
        return at::linear(drops_.thin(hidden, pass, 4 * i + 2 + number), part.down);
    });
}

at::Tensor llama::logits(const at::Tensor& tokens) const
{
    const mixed_precision mixed(settings_.compute, settings_.device);
    const auto pass = drops_.pass();
    auto x = at::embedding(embedding_, tokens.to(embedding_.device()));
    const auto add = [&](std::size_t at, std::uint64_t branch, const auto& f) {
        if (layers_[at].pinned || !drops_.skips(branch))
            x = x + (settings_.checkpoint ? recompute(f, x, settings_.compute, settings_.device) : f(x));
    };
    for (std::size_t i = 0; i < layers_.size(); ++i) {
        if (!layers_[i].attention.empty())
            add(i, 2 * i, [this, i, pass](const at::Tensor& in) { return attention_branch(i, pass, in); });
        if (!layers_[i].ffn.empty())
            add(i, 2 * i + 1, [this, i, pass](const at::Tensor& in) { return ffn_branch(i, pass, in); });
    }
    return at::linear(rms_norm(x, final_norm_), head_);
}

at::Tensor llama::loss(const batch& b)
{
    drops_.next_pass();
    return at::cross_entropy_loss(logits(b.inputs).to(embedding_.scalar_type()).view({-1, shape_.vocabulary}),
        b.targets.to(embedding_.device()).view({-1}));
}

} // namespace trainer
