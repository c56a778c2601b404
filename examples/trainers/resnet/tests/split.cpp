// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Split models against unsplit ones, gradients and statistics included.
#include "nets.hpp"

#include <sdp/partition/block.hpp>
#include <sdp/partition/neuron.hpp>

#include <doctest/doctest.h>

#include <vector>

namespace {

using namespace trainer_test;

/// A batch norm whose scale and shift are zero gives zeros, so absent channels and branches add nothing to the full model.
void check_gradients(const resnet_description& d, const weights& local, const weights& full, const sdp::subnetwork& mine)
{
    trainer_test::check_gradients(d.model, local, full, mine, 1e-8, 1e-10);
}

/// A worker's statistics equal those of the full model at the same places.
void check_statistics(const resnet_description& d, const weights& local, const weights& full, const sdp::subnetwork& mine)
{
    for (std::size_t p = 0; p < full.size(); ++p) {
        CAPTURE(d.statistics.parameters()[p].name);
        REQUIRE(local[p].size() == mine.slabs(sdp::parameter_id(p)).size());
        for (std::size_t i = 0; i < local[p].size(); ++i) {
            auto expected = at::empty_like(local[p][i].value);
            sdp::slice(full[p][0].value, expected, mine.slabs(sdp::parameter_id(p))[i]);
            CHECK(at::allclose(local[p][i].value, expected, 1e-10, 1e-12));
        }
    }
}

std::vector<sdp::assignment> partitions(const resnet_description& d, int world)
{
    std::vector<sdp::assignment> out;
    for (std::uint64_t seed = 3; seed < 6; ++seed) {
        out.push_back(sdp::neuron_partition {.coverage = 0.5, .granularity = 1, .seed = seed}(d.model, world));
        out.push_back(sdp::block_partition {.coverage = 0.5, .seed = seed}(d.model, world));
    }
    return out;
}

} // namespace

TEST_CASE("backward masking computes the full model's loss, and its gradients where a worker trains")
{
    const auto d = describe(tiny);
    const auto full = some_weights(d.model, 5, true), statistics = some_weights(d.statistics, 6, false);
    const auto b = some_images(tiny, 0);
    const auto before = some_weights(d.statistics, 6, false);
    const auto expected = resnet(d, full, statistics, {.training = true}).loss(b);
    expected.backward();
    for (const auto& a : partitions(d, 4))
        for (int rank = 0; rank < 4; ++rank)
            for (const bool checkpoint : {false, true}) {
                const auto mine = view(d.model, a, true, rank), of_statistics = view(d.statistics, a, true, rank);
                const auto local = cut(full, mine, true), kept = cut(before, of_statistics, false);
                resnet net(d, local, kept, {.checkpoint = checkpoint, .training = true}); // lives until the backward pass
                const auto loss = net.loss(b);
                CHECK(loss.item<double>() == doctest::Approx(expected.item<double>()).epsilon(1e-12));
                loss.backward();
                check_gradients(d, local, full, mine);
                check_statistics(d, kept, statistics, of_statistics);
            }
}

TEST_CASE("forward masking computes the model without what a worker does not hold")
{
    const auto d = describe(tiny);
    const auto full = some_weights(d.model, 5, false), before = some_weights(d.statistics, 6, false);
    const auto b = some_images(tiny, 0);
    for (const auto& a : partitions(d, 4))
        for (int rank = 0; rank < 4; ++rank) {
            const auto mine = view(d.model, a, false, rank), of_statistics = view(d.statistics, a, false, rank);
            const auto reference = zeroed(full, mine), statistics = some_weights(d.statistics, 6, false);
            const auto expected = resnet(d, reference, statistics, {.training = true}).loss(b);
            expected.backward();
            const auto local = cut(full, mine, true), kept = cut(before, of_statistics, false);
            const auto loss = resnet(d, local, kept, {.training = true}).loss(b);
            CHECK(loss.item<double>() == doctest::Approx(expected.item<double>()).epsilon(1e-12));
            loss.backward();
            check_gradients(d, local, reference, mine);
            check_statistics(d, kept, statistics, of_statistics);
        }
}

TEST_CASE("with everything held, the split model is bit for bit the unsplit one")
{
    const auto d = describe(tiny);
    const auto b = some_images(tiny, 0);
    const auto start = [&](const sdp::assignment& a, bool backward) {
        return make_weights(
            d.model, [&](sdp::parameter_id id) { return initial(d, id); }, view(d.model, a, backward, 1), 1, at::kCPU, true);
    };
    const auto pinned = start(sdp::assignment(d.model, 2), false);
    const auto expected = resnet(d, pinned, {}, {.training = true}).loss(b);
    expected.backward();
    for (const bool backward : {false, true})
        for (const sdp::assignment& a :
            {sdp::neuron_partition {.coverage = 1}(d.model, 2), sdp::block_partition {.coverage = 1}(d.model, 2)}) {
            const auto stored = start(a, backward);
            const auto loss = resnet(d, stored, {}, {.training = true}).loss(b);
            CHECK(at::equal(loss, expected));
            loss.backward();
            for (std::size_t p = 0; p < stored.size(); ++p) {
                REQUIRE(stored[p].size() == 1);
                CHECK(at::equal(stored[p][0].value.grad(), pinned[p][0].value.grad()));
            }
        }
}

TEST_CASE("a branch of which a worker holds no channel is absent, its second batch norm included")
{
    const auto d = describe(tiny);
    const auto full = some_weights(d.model, 5, false);
    const sdp::neuron_partition coarse {.coverage = 0.5, .granularity = 100, .seed = 3};
    const auto a = coarse(d.model, 4);
    const auto images = some_images(tiny, 0).inputs;
    bool seen = false;
    for (int rank = 0; rank < 4; ++rank) {
        const auto mine = view(d.model, a, false, rank);
        auto reference = zeroed(full, mine);
        for (const auto& block : d.parameters.blocks)
            if (!mine.stores(block.branch->conv1)) {
                CHECK(mine.stores(block.branch->norm2.scale));
                reference[sdp::index_of(block.branch->norm2.shift)]
                    = {{at::zeros({d.model[block.branch->norm2.shift].shape[0]}, at::kDouble), true}};
                seen = true;
            }
        CHECK(at::allclose(resnet(d, cut(full, mine, false), {}).logits(images), resnet(d, reference, {}).logits(images)));
    }
    CHECK(seen);
}

TEST_CASE("the branch scale multiplies what every branch adds, after its batch norm, unless it is pinned")
{
    const auto d = describe(tiny, pinning::first);
    const auto full = some_weights(d.model, 5, false);
    auto scaled = full;
    for (const auto& block : d.parameters.blocks)
        if (d.model[block.branch->conv1].maskable())
            for (const auto id : {block.branch->norm2.scale, block.branch->norm2.shift})
                scaled[sdp::index_of(id)] = {{full[sdp::index_of(id)][0].value * 0.5, true}};
    const auto images = some_images(tiny, 0).inputs;
    const auto halved = resnet(d, full, {}, {.branch_scale = 0.5}).logits(images);
    CHECK(at::allclose(halved, resnet(d, scaled, {}).logits(images), 1e-10, 1e-12));
    CHECK_FALSE(at::allclose(halved, resnet(d, full, {}).logits(images)));
}

TEST_CASE("what is dropped is drawn anew for each pass, and found again by a branch that is computed twice")
{
    const auto d = describe(tiny);
    const auto b = some_images(tiny, 0);
    const auto run = [&](network_settings settings) {
        const auto full = some_weights(d.model, 5, true);
        settings.training = true;
        resnet net(d, full, {}, settings);
        const auto first = net.loss(b), second = net.loss(b);
        second.backward();
        return std::vector {first.detach(), second.detach(), full[0][0].value.grad()};
    };
    const auto plain = run({});
    CHECK(at::equal(plain[0], plain[1]));
    for (const network_settings& settings : {network_settings {.dropout = 0.5}, network_settings {.stochastic_depth = 0.5}}) {
        const auto once = run(settings);
        CHECK_FALSE(at::equal(once[0], once[1]));
        auto checkpoint = settings;
        checkpoint.checkpoint = true;
        const auto twice = run(checkpoint);
        for (std::size_t i = 0; i < once.size(); ++i)
            CHECK(at::allclose(once[i], twice[i], 1e-10, 1e-12));
    }
}

TEST_CASE("bf16 stays near")
{
    const auto d = describe(make_shape(8, {1, 1}, 1, 28));
    auto full = some_weights(d.model, 5, false);
    for (auto& parts : full)
        parts[0].value = parts[0].value.to(at::kFloat).requires_grad_(true);
    auto b = some_images(d.shape, 0, 8);
    const auto exact = resnet(d, full, {}, {.training = true}).logits(b.inputs);
    resnet mixed(d, full, {}, {.training = true, .compute = precision::bf16});
    const auto near = mixed.logits(b.inputs).to(at::kFloat);
    CHECK(at::allclose(near, exact, 0.05, 0.1));
    CHECK_FALSE(at::equal(near, exact));
    mixed.loss(b).backward();
    for (const auto& parts : full)
        CHECK((parts[0].value.grad().scalar_type() == at::kFloat));
}
