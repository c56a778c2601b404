// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "llama.hpp"

#include <sdp/error.hpp>

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

namespace trainer {

llama_description describe(const llama_shape& shape)
{
    using sdp::detail::text;
    llama_description out {shape, {}, {}};
    auto& m = out.model;
    auto& ids = out.parameters;
    const auto queries_per_kv = shape.heads / shape.kv_heads * shape.head_dim();

    ids.embedding = m.add_parameter("embedding", {shape.vocabulary, shape.hidden});
    for (std::int64_t i = 0; i < shape.layers; ++i) {
        const auto name = text("layer", i, ".");
        const auto attention = m.add_block(name + "attention");
        const auto ffn = m.add_block(name + "ffn");
        const auto heads = m.add_group(name + "heads", shape.kv_heads);
        const auto hidden = m.add_group(name + "hidden", shape.ffn);
        const auto q_rows = shape.heads * shape.head_dim();
        const auto kv_rows = shape.kv_heads * shape.head_dim();
        llama_parameters::layer l {};
        l.attention_norm = m.add_parameter(name + "attention_norm", {shape.hidden}, {attention});
        l.q = m.add_parameter(name + "q", {q_rows, shape.hidden}, {attention, {{0, heads, queries_per_kv}}});
        l.k = m.add_parameter(name + "k", {kv_rows, shape.hidden}, {attention, {{0, heads, shape.head_dim()}}});
        l.v = m.add_parameter(name + "v", {kv_rows, shape.hidden}, {attention, {{0, heads, shape.head_dim()}}});
        l.o = m.add_parameter(name + "o", {shape.hidden, q_rows}, {attention, {{1, heads, queries_per_kv}}});
        l.ffn_norm = m.add_parameter(name + "ffn_norm", {shape.hidden}, {ffn});
        l.gate = m.add_parameter(name + "gate", {shape.ffn, shape.hidden}, {ffn, {{0, hidden, 1}}});
        l.up = m.add_parameter(name + "up", {shape.ffn, shape.hidden}, {ffn, {{0, hidden, 1}}});
        l.down = m.add_parameter(name + "down", {shape.hidden, shape.ffn}, {ffn, {{1, hidden, 1}}});
        ids.layers.push_back(l);
    }
    ids.final_norm = m.add_parameter("final_norm", {shape.hidden});
    ids.head = m.add_parameter("head", {shape.vocabulary, shape.hidden});
    return out;
}

double initial_deviation(const llama_description& d, sdp::parameter_id id)
{
    if (d.model[id].shape.size() < 2)
        return 0;
    for (const auto& l : d.parameters.layers)
        if (id == l.o || id == l.down)
            return 0.02 / std::sqrt(2 * static_cast<double>(d.shape.layers));
    return 0.02;
}

namespace {
    /// The only part of a parameter that has no neuron axis; undefined if nothing of it is stored.
    at::Tensor whole(const llama_description& d, const weights& stored, sdp::parameter_id id)
    {
        const auto& parts = stored[sdp::index_of(id)];
        if (parts.size() > 1)
            sdp::detail::fail("parameter '", d.model[id].name, "' is stored in ", parts.size(), " parts; expected at most one");
        return parts.empty() ? at::Tensor() : parts.front().value;
    }

    at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& scale)
    {
        return x * at::rsqrt(at::mean(x.square(), at::IntArrayRef {-1}, true) + 1e-5) * scale;
    }
} // namespace

llama::llama(const llama_description& d, const weights& stored, double branch_scale)
    : shape_(d.shape)
    , branch_scale_(branch_scale)
{
    const auto& ids = d.parameters;
    const auto part = [&](sdp::parameter_id id, std::size_t i) { return stored[sdp::index_of(id)].at(i).value; };
    embedding_ = whole(d, stored, ids.embedding);
    final_norm_ = whole(d, stored, ids.final_norm);
    head_ = whole(d, stored, ids.head);
    for (const auto& l : ids.layers) {
        layer out;
        out.attention_norm = whole(d, stored, l.attention_norm);
        out.ffn_norm = whole(d, stored, l.ffn_norm);
        for (std::size_t i = 0; i < stored[sdp::index_of(l.q)].size(); ++i)
            out.attention.push_back({part(l.q, i), part(l.k, i), part(l.v, i), part(l.o, i)});
        for (std::size_t i = 0; i < stored[sdp::index_of(l.gate)].size(); ++i)
            out.ffn.push_back({part(l.gate, i), part(l.up, i), part(l.down, i)});
        layers_.push_back(std::move(out));
    }

    const auto type = embedding_.scalar_type();
    const auto length = shape_.sequence, half = shape_.head_dim() / 2;
    cosines_ = at::empty({length, 1, half}, at::kDouble);
    sines_ = at::empty({length, 1, half}, at::kDouble);
    for (std::int64_t t = 0; t < length; ++t)
        for (std::int64_t i = 0; i < half; ++i) {
            const double angle = static_cast<double>(t) * std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(half));
            cosines_.data_ptr<double>()[t * half + i] = std::cos(angle);
            sines_.data_ptr<double>()[t * half + i] = std::sin(angle);
        }
    cosines_ = cosines_.to(type);
    sines_ = sines_.to(type);
    causal_ = at::full({length, length}, -std::numeric_limits<double>::infinity(), type).triu_(1);
}

/// Rotary positions on [sequences, length, heads, head_dim].
at::Tensor llama::rotate(const at::Tensor& x) const
{
    const auto length = x.size(1), half = x.size(3) / 2;
    const auto c = cosines_.narrow(0, 0, length), s = sines_.narrow(0, 0, length);
    const auto a = x.narrow(3, 0, half), b = x.narrow(3, half, half);
    return at::cat({a * c - b * s, b * c + a * s}, 3);
}

/// What some of the heads add to the residual stream.
at::Tensor llama::attend(const attention_part& part, const at::Tensor& x) const
{
    const auto sequences = x.size(0), length = x.size(1), dim = shape_.head_dim();
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
    return at::linear(mixed, part.o);
}

at::Tensor llama::logits(const at::Tensor& tokens) const
{
    // One part is the common case and must not differ from an unsplit model by so much as an addition of zero.
    const auto sum = [&](const auto& parts, auto output) {
        auto y = output(parts.front());
        for (std::size_t i = 1; i < parts.size(); ++i)
            y = y + output(parts[i]);
        return branch_scale_ == 1 ? y : y * branch_scale_;
    };
    auto x = at::embedding(embedding_, tokens);
    for (const auto& l : layers_) {
        if (!l.attention.empty()) {
            const auto in = rms_norm(x, l.attention_norm);
            x = x + sum(l.attention, [&](const attention_part& part) { return attend(part, in); });
        }
        if (!l.ffn.empty()) {
            const auto in = rms_norm(x, l.ffn_norm);
            x = x + sum(l.ffn, [&](const ffn_part& part) {
                return at::linear(at::silu(at::linear(in, part.gate)) * at::linear(in, part.up), part.down);
            });
        }
    }
    return at::linear(rms_norm(x, final_norm_), head_);
}

at::Tensor llama::loss(const at::Tensor& tokens, const at::Tensor& targets) const
{
    return at::cross_entropy_loss(logits(tokens).view({-1, shape_.vocabulary}), targets.view({-1}));
}

} // namespace trainer
