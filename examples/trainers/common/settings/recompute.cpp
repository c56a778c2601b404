// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "common/settings/recompute.hpp"
#include "common/settings/precision.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <ATen/core/ivalue.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

namespace trainer {

namespace {
    using branch = std::function<at::Tensor(const at::Tensor&)>;

    /// The recomputed function, in a form that the graph can own.
    struct call final : torch::CustomClassHolder {
        call(branch b, precision p, compute_device d)
            : f(std::move(b))
            , compute(p)
            , device(d)
        {
        }
        [[nodiscard]] at::Tensor operator()(const at::Tensor& x) const
        {
            const mixed_precision mixed(compute, device);
            return f(x);
        }
        branch f;
        precision compute;
        compute_device device;
    };

    struct twice : torch::autograd::Function<twice> {
        // Runs without a graph.
        static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, c10::intrusive_ptr<call> what)
        {
            context->save_for_backward({x});
            context->saved_data["what"] = c10::IValue::make_capsule(what);
            return (*what)(x);
        }
        static torch::autograd::variable_list backward(
            torch::autograd::AutogradContext* context, const torch::autograd::variable_list& gradients)
        {
            const auto holder = context->saved_data["what"].toCapsule();
            const at::AutoGradMode grows(true);
            const auto x = context->get_saved_variables().front().detach().requires_grad_(true);
            const auto y = static_cast<const call&>(*holder)(x);
            torch::autograd::backward({y}, {gradients.front()});
            return {x.grad(), at::Tensor()};
        }
    };
} // namespace

at::Tensor recompute(const branch& f, const at::Tensor& x, precision p, compute_device d)
{
    if (!at::GradMode::is_enabled())
        return f(x);
    return twice::apply(x, c10::make_intrusive<call>(f, p, d));
}

} // namespace trainer
