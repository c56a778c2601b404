// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The model against an independent one: a plain loop over positions and heads, with the formulas of the architecture and
// none of the module's code, in double precision; and split models against unsplit ones, gradients included.
#include "common/model/weights.hpp"
#include "common/tests/split.hpp"
#include "llama.hpp"

#include <sdp/adapters/torch.hpp>
#include <sdp/masking/backward.hpp>
#include <sdp/masking/forward.hpp>
#include <sdp/partition/block.hpp>
#include <sdp/partition/neuron.hpp>
#include <sdp/random.hpp>

#include <ATen/ATen.h>

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

namespace {

using namespace trainer;
using trainer_test::cut, trainer_test::zeroed;

const llama_shape tiny {
    .vocabulary = 11, .layers = 2, .hidden = 16, .heads = 4, .kv_heads = 4, .head_dim = 4, .ffn = 12, .sequence = 6};
const llama_shape grouped {
    .vocabulary = 11, .layers = 2, .hidden = 16, .heads = 4, .kv_heads = 2, .head_dim = 4, .ffn = 12, .sequence = 6};

at::Tensor some_tokens(const llama_shape& s, std::uint64_t stream)
{
    const sdp::counter_generator random(99, stream);
    auto out = at::empty({3, s.sequence}, at::kLong);
    for (std::int64_t i = 0; i < out.numel(); ++i)
        out.data_ptr<std::int64_t>()[i] = static_cast<std::int64_t>(random.bits(static_cast<std::uint64_t>(i)) % 11);
    return out;
}

/// Weights large enough for every nonlinearity to matter.
weights full_weights(const llama_description& d)
{
    weights out;
    for (std::size_t p = 0; p < d.model.parameters().size(); ++p) {
        const auto& shape = d.model.parameters()[p].shape;
        const sdp::counter_generator random(5, p);
        auto value = at::empty({shape.begin(), shape.size()}, at::kDouble);
        for (std::int64_t i = 0; i < value.numel(); ++i)
            value.data_ptr<double>()[i] = (shape.size() == 1 ? 1 : 0) + 0.3 * random.normal(static_cast<std::uint64_t>(i));
        out.push_back({{value.requires_grad_(true), true}});
    }
    return out;
}

/// A worker's state at the start of a training.
weights starting_weights(const llama_description& d, const sdp::subnetwork& mine, std::uint64_t seed)
{
    return make_weights(
        d.model, [&](sdp::parameter_id id) { return initial(d, id); }, mine, seed, at::kCPU, true);
}

/// Absent heads, neurons and branches add nothing to the stream, and zero `o` and `down` say the same of the full model.
void check_gradients(const llama_description& d, const weights& local, const weights& full, const sdp::subnetwork& mine)
{
    trainer_test::check_gradients(d.model, local, full, mine, 1e-9, 1e-12);
}

sdp::subnetwork view(const llama_description& d, const sdp::assignment& a, bool backward, int rank)
{
    const auto residency
        = backward ? sdp::residency(d.model, a, sdp::backward_masking {}) : sdp::residency(d.model, a, sdp::forward_masking {});
    return {d.model, residency, rank, sdp::value_layout::split};
}

std::vector<sdp::assignment> both_partitions(const llama_description& d, int world)
{
    const sdp::neuron_partition neuron {.coverage = 0.5, .granularity = 1, .seed = 3};
    const sdp::block_partition block {.coverage = 0.5, .seed = 3};
    return {neuron(d.model, world), block(d.model, world)};
}

/// The forward pass by the book, one number at a time.
std::vector<double> naive_logits(const llama_description& d, const weights& full, const std::vector<std::int64_t>& tokens)
{
    const auto& s = d.shape;
    const auto length = tokens.size();
    const auto at2 = [&](sdp::parameter_id id, std::int64_t row, std::int64_t column) {
        const auto& t = full[sdp::index_of(id)][0].value;
        return t.data_ptr<double>()[row * t.size(1) + column];
    };
    using vector = std::vector<double>;
    using matrix = std::vector<vector>; // [position][feature]
    const auto multiply = [&](sdp::parameter_id id, const vector& x) {
        vector y(static_cast<std::size_t>(full[sdp::index_of(id)][0].value.size(0)));
        for (std::size_t r = 0; r < y.size(); ++r)
            for (std::size_t c = 0; c < x.size(); ++c)
                y[r] += at2(id, static_cast<std::int64_t>(r), static_cast<std::int64_t>(c)) * x[c];
        return y;
    };
    const auto normalize = [&](sdp::parameter_id id, const vector& x) {
        double squares = 0;
        for (const double v : x)
            squares += v * v;
        vector y = x;
        for (std::size_t i = 0; i < y.size(); ++i)
            y[i] *= full[sdp::index_of(id)][0].value.data_ptr<double>()[i]
                / std::sqrt(squares / static_cast<double>(x.size()) + 1e-5);
        return y;
    };
    const auto dim = static_cast<std::size_t>(s.head_dim);
    const auto rotate = [&](vector& heads, std::size_t position) {
        for (std::size_t begin = 0; begin < heads.size(); begin += dim)
            for (std::size_t i = 0; i < dim / 2; ++i) {
                const double angle
                    = static_cast<double>(position) / std::pow(10000.0, 2 * static_cast<double>(i) / static_cast<double>(dim));
                double& a = heads[begin + i];
                double& b = heads[begin + i + dim / 2];
                const double turned = a * std::cos(angle) - b * std::sin(angle);
                b = b * std::cos(angle) + a * std::sin(angle);
                a = turned;
            }
    };

    matrix x(length, vector(static_cast<std::size_t>(s.hidden)));
    for (std::size_t t = 0; t < length; ++t)
        for (std::size_t i = 0; i < x[t].size(); ++i)
            x[t][i] = at2(d.parameters.embedding, tokens[t], static_cast<std::int64_t>(i));
    for (const auto& l : d.parameters.layers) {
        matrix q, k, v;
        for (std::size_t t = 0; t < length; ++t) {
            const auto in = normalize(l.attention_norm, x[t]);
            q.push_back(multiply(l.q, in)), rotate(q.back(), t);
            k.push_back(multiply(l.k, in)), rotate(k.back(), t);
            v.push_back(multiply(l.v, in));
        }
        for (std::size_t t = 0; t < length; ++t) {
            vector mixed(static_cast<std::size_t>(s.hidden));
            for (std::size_t head = 0; head < static_cast<std::size_t>(s.heads); ++head) {
                const auto kv = head / static_cast<std::size_t>(s.heads / s.kv_heads);
                vector weight;
                double sum = 0;
                for (std::size_t u = 0; u <= t; ++u) {
                    double score = 0;
                    for (std::size_t i = 0; i < dim; ++i)
                        score += q[t][head * dim + i] * k[u][kv * dim + i];
                    weight.push_back(std::exp(score / std::sqrt(static_cast<double>(dim))));
                    sum += weight.back();
                }
                for (std::size_t u = 0; u <= t; ++u)
                    for (std::size_t i = 0; i < dim; ++i)
                        mixed[head * dim + i] += weight[u] / sum * v[u][kv * dim + i];
            }
            const auto out = multiply(l.o, mixed);
            for (std::size_t i = 0; i < out.size(); ++i)
                x[t][i] += out[i];
        }
        for (auto& row : x) {
            const auto in = normalize(l.ffn_norm, row);
            auto hidden = multiply(l.gate, in);
            const auto up = multiply(l.up, in);
            for (std::size_t i = 0; i < hidden.size(); ++i)
                hidden[i] = hidden[i] / (1 + std::exp(-hidden[i])) * up[i];
            const auto out = multiply(l.down, hidden);
            for (std::size_t i = 0; i < out.size(); ++i)
                row[i] += out[i];
        }
    }
    vector logits;
    for (const auto& row : x)
        for (const double v : multiply(d.parameters.head, normalize(d.parameters.final_norm, row)))
            logits.push_back(v);
    return logits;
}

} // namespace

TEST_CASE("the forward pass is the architecture's, with and without grouped queries")
{
    for (const auto& shape : {tiny, grouped}) {
        const auto d = describe(shape);
        const auto full = full_weights(d);
        const auto tokens = some_tokens(shape, 0);
        const auto logits = llama(d, full).logits(tokens).detach();
        for (std::int64_t row = 0; row < tokens.size(0); ++row) {
            const auto* begin = tokens.data_ptr<std::int64_t>() + row * shape.sequence;
            const auto expected = naive_logits(d, full, {begin, begin + shape.sequence});
            const auto got = logits[row].contiguous();
            REQUIRE(got.numel() == static_cast<std::int64_t>(expected.size()));
            double worst = 0;
            for (std::size_t i = 0; i < expected.size(); ++i)
                worst = std::max(worst, std::abs(got.data_ptr<double>()[i] - expected[i]));
            CHECK(worst < 1e-10);
        }
    }
}

TEST_CASE("blocks cost their elements, or the multiplications of a token")
{
    const auto stored = describe(tiny), computed = describe(tiny, pinning::none, balancing::work);
    CHECK(stored.model.cost(sdp::block_id(0)) == 4 * 16 * 16 + 16); // the norm's scale too
    CHECK(stored.model.cost(sdp::block_id(1)) == 3 * 12 * 16 + 16);
    CHECK(computed.model.cost(sdp::block_id(0)) == 4 * 16 * 16 + 2 * 6 * 16);
    CHECK(computed.model.cost(sdp::block_id(1)) == 3 * 12 * 16);
}

TEST_CASE("the loss is the mean negative log-likelihood in nats")
{
    const auto d = describe(tiny);
    const auto full = full_weights(d);
    const auto tokens = some_tokens(tiny, 0), targets = some_tokens(tiny, 1);
    const auto logits = llama(d, full).logits(tokens).detach().contiguous();
    double sum = 0;
    for (std::int64_t i = 0; i < tokens.numel(); ++i) {
        const double* row = logits.data_ptr<double>() + i * tiny.vocabulary;
        double total = 0;
        for (std::int64_t c = 0; c < tiny.vocabulary; ++c)
            total += std::exp(row[c]);
        sum += std::log(total) - row[targets.data_ptr<std::int64_t>()[i]];
    }
    CHECK(llama(d, full).loss({tokens, targets}).item<double>()
        == doctest::Approx(sum / static_cast<double>(tokens.numel())).epsilon(1e-12));
}

TEST_CASE("autograd's gradient is the loss's slope")
{
    const auto d = describe(grouped);
    auto full = full_weights(d);
    const auto tokens = some_tokens(grouped, 0), targets = some_tokens(grouped, 1);
    llama(d, full).loss({tokens, targets}).backward();
    for (std::size_t p = 0; p < full.size(); ++p) {
        CAPTURE(d.model.parameters()[p].name);
        auto& value = full[p][0].value;
        const std::int64_t at = value.numel() / 3;
        double* const element = value.data_ptr<double>() + at;
        const double before = *element, step = 1e-5;
        *element = before + step;
        const double above = llama(d, full).loss({tokens, targets}).item<double>();
        *element = before - step;
        const double below = llama(d, full).loss({tokens, targets}).item<double>();
        *element = before;
        CHECK(value.grad().contiguous().data_ptr<double>()[at] == doctest::Approx((above - below) / (2 * step)).epsilon(1e-5));
    }
}

TEST_CASE("backward masking computes the full model's loss, and its gradients where a worker trains")
{
    for (const auto& shape : {tiny, grouped}) {
        const auto d = describe(shape);
        const auto full = full_weights(d);
        const auto tokens = some_tokens(shape, 0), targets = some_tokens(shape, 1);
        const auto expected = llama(d, full).loss({tokens, targets});
        expected.backward();
        for (const auto& a : both_partitions(d, 4))
            for (int rank = 0; rank < 4; ++rank) {
                const auto mine = view(d, a, true, rank);
                const auto local = cut(full, mine);
                const auto loss = llama(d, local).loss({tokens, targets});
                CHECK(loss.item<double>() == doctest::Approx(expected.item<double>()).epsilon(1e-12));
                loss.backward();
                check_gradients(d, local, full, mine);
            }
    }
}

TEST_CASE("forward masking computes the model without what a worker does not hold")
{
    for (const auto& shape : {tiny, grouped}) {
        const auto d = describe(shape);
        const auto full = full_weights(d);
        const auto tokens = some_tokens(shape, 0), targets = some_tokens(shape, 1);
        for (const auto& a : both_partitions(d, 4))
            for (int rank = 0; rank < 4; ++rank) {
                const auto mine = view(d, a, false, rank);
                const auto reference = zeroed(full, mine);
                const auto expected = llama(d, reference).loss({tokens, targets});
                expected.backward();
                const auto local = cut(full, mine);
                const auto loss = llama(d, local).loss({tokens, targets});
                CHECK(loss.item<double>() == doctest::Approx(expected.item<double>()).epsilon(1e-12));
                loss.backward();
                check_gradients(d, local, reference, mine);
            }
    }
}

TEST_CASE("with everything held, the split model is bit for bit the unsplit one")
{
    const auto d = describe(tiny);
    const auto tokens = some_tokens(tiny, 0), targets = some_tokens(tiny, 1);
    const auto pinned = starting_weights(d, view(d, sdp::assignment(d.model, 2), false, 0), 1);
    const auto expected = llama(d, pinned).loss({tokens, targets});
    expected.backward();
    for (const bool backward : {false, true})
        for (const sdp::assignment& a :
            {sdp::neuron_partition {.coverage = 1}(d.model, 2), sdp::block_partition {.coverage = 1}(d.model, 2)}) {
            const auto stored = starting_weights(d, view(d, a, backward, 1), 1);
            const auto loss = llama(d, stored).loss({tokens, targets});
            CHECK(at::equal(loss, expected));
            loss.backward();
            for (std::size_t p = 0; p < stored.size(); ++p) {
                REQUIRE(stored[p].size() == 1);
                CHECK(at::equal(stored[p][0].value, pinned[p][0].value));
                CHECK(at::equal(stored[p][0].value.grad(), pinned[p][0].value.grad()));
            }
        }
}

TEST_CASE("the branch scale multiplies what every branch adds")
{
    const auto d = describe(tiny);
    const auto full = full_weights(d);
    auto scaled = full;
    for (const auto& l : d.parameters.layers)
        for (const auto id : {l.o, l.down})
            scaled[sdp::index_of(id)] = {{full[sdp::index_of(id)][0].value * 0.5, true}};
    const auto tokens = some_tokens(tiny, 0);
    CHECK(at::allclose(llama(d, full, {.branch_scale = 0.5}).logits(tokens), llama(d, scaled).logits(tokens), 1e-12, 1e-14));
}

TEST_CASE("initial weights of a worker are slices of the same full model, with the stated spread")
{
    const auto d = describe({.layers = 2, .hidden = 64, .heads = 4, .kv_heads = 2, .ffn = 96, .sequence = 8});
    const auto everything = starting_weights(d, view(d, sdp::assignment(d.model, 1), false, 0), 42);
    for (const auto& a : both_partitions(d, 4))
        for (const bool backward : {false, true})
            for (int rank = 0; rank < 4; ++rank) {
                const auto mine = view(d, a, backward, rank);
                const auto stored = starting_weights(d, mine, 42);
                for (std::size_t p = 0; p < stored.size(); ++p)
                    for (std::size_t i = 0; i < stored[p].size(); ++i) {
                        auto expected = at::empty_like(stored[p][i].value.detach());
                        sdp::slice(everything[p][0].value.detach(), expected, mine.slabs(sdp::parameter_id(p))[i]);
                        CHECK(at::equal(stored[p][i].value, expected));
                    }
            }
    const auto spread = [&](sdp::parameter_id id) { return everything[sdp::index_of(id)][0].value.std().item<double>(); };
    CHECK(spread(d.parameters.embedding) == doctest::Approx(0.02).epsilon(0.05));
    CHECK(spread(d.parameters.layers[0].gate) == doctest::Approx(0.02).epsilon(0.05));
    CHECK(spread(d.parameters.layers[1].down) == doctest::Approx(0.01).epsilon(0.05));
    CHECK(everything[sdp::index_of(d.parameters.final_norm)][0].value.eq(1).all().item<bool>());
    CHECK_FALSE(
        at::equal(starting_weights(d, view(d, sdp::assignment(d.model, 1), false, 0), 43)[0][0].value, everything[0][0].value));
}

TEST_CASE("the listener is called once per trained parameter and pass, with the gradient summed so far")
{
    const auto d = describe(tiny);
    const auto mine = view(d, both_partitions(d, 4)[0], true, 0);
    const auto stored = starting_weights(d, mine, 1);
    const auto tokens = some_tokens(tiny, 0), targets = some_tokens(tiny, 1);
    std::vector<std::vector<at::Tensor>> seen(stored.size());
    {
        const gradient_listener listener(stored,
            [&](sdp::parameter_id id, const at::Tensor& gradient) { seen[sdp::index_of(id)].push_back(gradient.clone()); });
        llama(d, stored).loss({tokens, targets}).backward();
        llama(d, stored).loss({tokens, targets}).backward();
    }
    for (std::size_t p = 0; p < stored.size(); ++p) {
        CAPTURE(d.model.parameters()[p].name);
        if (!mine.trains(sdp::parameter_id(p))) {
            CHECK(seen[p].empty());
            continue;
        }
        REQUIRE(seen[p].size() == 2);
        CHECK(at::equal(seen[p][1], stored[p][0].value.grad()));
        CHECK(at::allclose(seen[p][1], 2 * seen[p][0]));
    }
}

TEST_CASE("an exception in the listener comes out of the backward pass as it is")
{
    const auto d = describe(tiny);
    const auto stored = starting_weights(d, view(d, sdp::assignment(d.model, 1), false, 0), 1);
    const gradient_listener listener(
        stored, [](sdp::parameter_id, const at::Tensor&) { throw sdp::aborted_error("a peer has failed"); });
    const auto loss = llama(d, stored).loss({some_tokens(tiny, 0), some_tokens(tiny, 1)});
    CHECK_THROWS_AS(loss.backward(), sdp::aborted_error);
}
