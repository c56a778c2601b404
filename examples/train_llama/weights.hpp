// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The tensors behind the model: allocated by what a worker stores, filled without ever making the full model.

#include "llama.hpp"

#include <sdp/subnetwork.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace trainer {

/// One tensor per slab of the subnetwork, filled with its part of the initial model. What is trained asks for a gradient.
[[nodiscard]] weights make_weights(const llama_description& d, const sdp::subnetwork& mine, std::uint64_t seed);

/// Tensors for the full model, not filled and without gradients.
[[nodiscard]] weights make_full_weights(const llama_description& d);

/// Calls a function with each trained parameter once its gradient is complete, from within the backward pass.
///
/// A hook on the tensor would run before the gradient is added to that of earlier micro-batches; one behind the node that
/// adds it sees the sum. Must outlive every graph that is still to be run backward.
class gradient_listener {
public:
    using function = std::function<void(sdp::parameter_id, const at::Tensor& gradient)>;

    gradient_listener(const weights& stored, function ready);
    ~gradient_listener();
    gradient_listener(const gradient_listener&) = delete;
    gradient_listener& operator=(const gradient_listener&) = delete;

private:
    struct state;
    std::unique_ptr<state> state_;
};

} // namespace trainer
