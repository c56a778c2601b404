// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The tensors behind a model: allocated by what a worker stores, filled without ever making the full model.

#include <sdp/subnetwork.hpp>

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace trainer {

/// A stored part of one parameter.
struct piece {
    at::Tensor value;
    bool trained = false;
};

/// The stored parts of every parameter, by its number. The parameters of a group have their parts in the same order.
using weights = std::vector<std::vector<piece>>;

/// Initial values of a parameter: normally distributed, or a constant if the deviation is 0.
struct initial_value {
    double mean = 0, deviation = 0;
};

/// The only part of a parameter that has no neuron axis; undefined if nothing of it is stored.
/// @throws sdp::error if it is stored in several parts
[[nodiscard]] at::Tensor whole(const sdp::model& m, const weights& stored, sdp::parameter_id id);

/// One tensor per slab of the subnetwork, filled with its part of the initial model.
/// @param gradients whether what is trained asks for a gradient
[[nodiscard]] weights make_weights(const sdp::model& m, const std::function<initial_value(sdp::parameter_id)>& initial,
    const sdp::subnetwork& mine, std::uint64_t seed, c10::Device device, bool gradients);

/// Host tensors for the full model, not filled and without gradients.
[[nodiscard]] weights make_full_weights(const sdp::model& m);

/// The same on a device. Shares the tensors if they are there already.
[[nodiscard]] weights to_device(const weights& from, c10::Device device);

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
