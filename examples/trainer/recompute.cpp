// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "recompute.hpp"
#include "precision.hpp"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/saved_variable.h>

#include <memory>

namespace trainer {

namespace {
    struct node final : torch::autograd::Node {
        std::function<at::Tensor(const at::Tensor&)> f;
        torch::autograd::SavedVariable input;
        precision compute;
        compute_device device;

        torch::autograd::variable_list apply(torch::autograd::variable_list&& gradients) override
        {
            const at::AutoGradMode grows(true);
            const auto x = input.unpack().detach().requires_grad_(true);
            at::Tensor y;
            {
                const mixed_precision mixed(compute, device);
                y = f(x);
            }
            torch::autograd::backward({y}, {gradients.front()});
            return {x.grad()};
        }
        void release_variables() override { input.reset_data(); }
    };
} // namespace

at::Tensor recompute(const std::function<at::Tensor(const at::Tensor&)>& f, const at::Tensor& x, precision p, compute_device d)
{
    if (!at::GradMode::is_enabled())
        return f(x);
    at::Tensor y;
    {
        const at::NoGradGuard forgets;
        y = f(x);
    }
    const std::shared_ptr<node> n(new node, torch::autograd::deleteNode);
    n->f = f;
    n->input = torch::autograd::SavedVariable(x, false);
    n->compute = p;
    n->device = d;
    // Asks for a gradient even if x does not: the parameters within do.
    n->set_next_edges(torch::autograd::collect_next_edges(x));
    torch::autograd::set_history(y, n);
    return y;
}

} // namespace trainer
