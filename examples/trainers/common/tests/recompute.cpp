// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "common/settings/recompute.hpp"
#include "common/backends/memory.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <doctest/doctest.h>

using namespace trainer;

namespace {

at::Tensor values(at::IntArrayRef shape, double from, double to)
{
    return at::linspace(from, to, at::zeros(shape).numel()).reshape(shape);
}

} // namespace

TEST_CASE("what is computed again has the same value and gradients, and keeps less")
{
    install_memory_meters();
    auto& meter = meter_this_thread();
    const auto weight = values({64, 64}, -0.2, 0.3).requires_grad_(true);
    const auto input = values({256, 64}, -1, 1).requires_grad_(true);
    int calls = 0;
    const auto branch = [&](const at::Tensor& x) {
        ++calls;
        auto y = x;
        for (int i = 0; i < 4; ++i)
            y = at::tanh(at::linear(y, weight));
        return y;
    };
    const auto run = [&](bool again) {
        weight.mutable_grad() = input.mutable_grad() = at::Tensor();
        calls = 0;
        const auto before = meter.live();
        // Twice, one behind the other, so that the inner edge matters too.
        auto y = again ? recompute(branch, input * 2, precision::f32, compute_device::cpu) : branch(input * 2);
        y = input + (again ? recompute(branch, y, precision::f32, compute_device::cpu) : branch(y));
        const auto kept = meter.live() - before;
        y.square().sum().backward();
        return std::tuple(y.detach(), weight.grad().clone(), input.grad().clone(), kept, calls);
    };
    const auto [y0, w0, x0, kept0, calls0] = run(false);
    const auto [y1, w1, x1, kept1, calls1] = run(true);
    CHECK(at::equal(y0, y1));
    CHECK(at::equal(x0, x1));
    CHECK(at::allclose(w0, w1, 1e-5, 1e-6)); // added up in another order
    CHECK(calls0 == 2);
    CHECK(calls1 == 4);
    CHECK(2 * kept1 < kept0);
}

TEST_CASE("without gradients a branch is computed once")
{
    const at::NoGradGuard inference;
    int calls = 0;
    const auto y = recompute(
        [&](const at::Tensor& x) {
            ++calls;
            return x + 1;
        },
        at::ones({3}), precision::f32, compute_device::cpu);
    CHECK(calls == 1);
    CHECK(y.sum().item<float>() == 6);
}
