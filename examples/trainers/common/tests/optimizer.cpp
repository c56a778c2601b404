// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "common/learning/optimizer.hpp"

#include <sdp/random.hpp>

#include <ATen/ATen.h>

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <vector>

namespace {

using namespace trainer;

at::Tensor some_values(std::int64_t size, std::uint64_t stream)
{
    const sdp::counter_generator random(1, stream);
    auto out = at::empty({size});
    for (std::int64_t i = 0; i < size; ++i)
        out.data_ptr<float>()[i] = static_cast<float>(random.normal(static_cast<std::uint64_t>(i)));
    return out;
}

} // namespace

TEST_CASE("AdamW steps by its formula, with decay only where asked")
{
    const double rate = 0.01;
    for (const bool decay : {false, true}) {
        const auto value = some_values(37, 0);
        const auto start = value.clone();
        const trainer::optimizer::item item[] = {{value, decay}};
        trainer::optimizer optimizer({}, item);
        CHECK(optimizer.state_bytes(value) == 0);
        std::vector<double> m(37), v(37), x(37);
        for (std::size_t i = 0; i < x.size(); ++i)
            x[i] = start.data_ptr<float>()[i];
        for (int step = 1; step <= 5; ++step) {
            const auto gradient = some_values(37, static_cast<std::uint64_t>(step));
            value.mutable_grad() = gradient;
            optimizer.step(rate);
            for (std::size_t i = 0; i < x.size(); ++i) {
                const double g = gradient.data_ptr<float>()[i];
                m[i] = 0.9 * m[i] + 0.1 * g;
                v[i] = 0.95 * v[i] + 0.05 * g * g;
                x[i] -= rate * (decay ? 0.1 : 0) * x[i];
                x[i] -= rate * (m[i] / (1 - std::pow(0.9, step))) / (std::sqrt(v[i] / (1 - std::pow(0.95, step))) + 1e-8);
            }
        }
        for (std::size_t i = 0; i < x.size(); ++i)
            CHECK(value.data_ptr<float>()[i] == doctest::Approx(x[i]).epsilon(1e-5));
        CHECK(optimizer.state_bytes(value) == 2 * 37 * sizeof(float));
    }
}

TEST_CASE("AdamW on pieces of a flat buffer gives the bits of AdamW on the whole")
{
    constexpr std::int64_t size = 1003;
    const auto whole = some_values(size, 0), flat = whole.clone();
    const trainer::optimizer::item one[] = {{whole, true}};
    trainer::optimizer on_whole({}, one);
    std::vector<trainer::optimizer::item> pieces;
    const std::int64_t cuts[] = {0, 1, 8, 21, 333, 334, 777, size};
    for (std::size_t i = 0; i + 1 < std::size(cuts); ++i)
        pieces.push_back({flat.narrow(0, cuts[i], cuts[i + 1] - cuts[i]), true});
    trainer::optimizer on_pieces({}, pieces);
    for (std::uint64_t step = 1; step <= 20; ++step) {
        const auto gradient = some_values(size, step);
        whole.mutable_grad() = gradient;
        for (std::size_t i = 0; i < pieces.size(); ++i)
            pieces[i].value.mutable_grad() = gradient.narrow(0, cuts[i], cuts[i + 1] - cuts[i]);
        on_whole.step(1e-2);
        on_pieces.step(1e-2);
        REQUIRE(at::equal(whole, flat));
    }
}

TEST_CASE("SGD steps by its formula, with momentum")
{
    options o;
    o.optimizer = optimizer_kind::sgd;
    o.momentum = 0.8;
    o.weight_decay = 0.01;
    const auto value = some_values(37, 0);
    const auto start = value.clone();
    const trainer::optimizer::item item[] = {{value, true}};
    trainer::optimizer optimizer(o, item);
    std::vector<double> v(37), x(37);
    for (std::size_t i = 0; i < x.size(); ++i)
        x[i] = start.data_ptr<float>()[i];
    for (int step = 1; step <= 5; ++step) {
        const auto gradient = some_values(37, static_cast<std::uint64_t>(step));
        value.mutable_grad() = gradient;
        optimizer.step(0.1 / step);
        for (std::size_t i = 0; i < x.size(); ++i) {
            v[i] = 0.8 * v[i] + gradient.data_ptr<float>()[i] + 0.01 * x[i];
            x[i] -= 0.1 / step * v[i];
        }
    }
    for (std::size_t i = 0; i < x.size(); ++i)
        CHECK(value.data_ptr<float>()[i] == doctest::Approx(x[i]).epsilon(1e-5));
    CHECK(optimizer.state_bytes(value) == 37 * sizeof(float));
}

TEST_CASE("the learning rate rises linearly and falls along a cosine to a tenth")
{
    CHECK(learning_rate(0, 100, 10, 1) == doctest::Approx(0.1));
    CHECK(learning_rate(9, 100, 10, 1) == doctest::Approx(1));
    CHECK(learning_rate(10, 100, 10, 1) == doctest::Approx(1));
    CHECK(learning_rate(55, 100, 10, 1) == doctest::Approx(0.55));
    CHECK(learning_rate(100, 100, 10, 1) == doctest::Approx(0.1));
    CHECK(learning_rate(3, 5, 10, 1) == doctest::Approx(0.4)); // a run shorter than its warm-up
    CHECK(clip_factor(0.5, 1) == 1);
    CHECK(clip_factor(4, 1) == 0.25);
    CHECK(clip_factor(4, 0) == 1);
}
