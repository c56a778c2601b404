// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief A program's task: the model as the library sees it, its forward pass, its data and its evaluation.
///
/// The training loop knows nothing else of it, so it is compiled once, and a program of another model is these few classes.

#include "common/model/weights.hpp"
#include "common/settings/options.hpp"

#include <sdp/model.hpp>

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace trainer {

/// Samples, and what is to be said of them. The first axis counts samples.
struct batch {
    at::Tensor inputs, targets;
};

/// One worker's training data.
class data_source {
public:
    virtual ~data_source() = default;
    /// The same arguments give the same batch, whatever was read before.
    [[nodiscard]] virtual batch read(std::int64_t samples, std::uint64_t batch_number) const = 0;
};

/// Differences of a forward pass from the plain one.
struct network_settings {
    double branch_scale = 1; ///< multiplies what every maskable part adds
    double dropout = 0; ///< probability with which an inner activation is dropped
    double stochastic_depth = 0; ///< probability with which a residual branch is skipped, for the whole batch
    bool checkpoint = false; ///< residual branches are computed again in the backward pass instead of kept
    bool training = false; ///< drops, and lets batch norms take the statistics of the batch
    precision compute = precision::f32;
    compute_device device = compute_device::cpu;
    std::uint64_t seed = 0; ///< of what is dropped
    std::uint64_t stream = 0;
};

/// The options of a worker's passes.
[[nodiscard]] network_settings training_settings(const options& o, int rank);
/// And of those of the full model: what was absent, or skipped, at times while training is always there now.
[[nodiscard]] network_settings evaluation_settings(const options& o);

/// The share of a count that `--shrink` leaves, at least one.
[[nodiscard]] std::int64_t shrunk(std::int64_t count, double coverage);

/// The forward pass over given tensors, of a whole model or of a part.
class network {
public:
    virtual ~network() = default;
    /// Mean loss in nats, a scalar.
    [[nodiscard]] virtual at::Tensor loss(const batch& b) = 0;
};

/// A full model's result on held-out data.
struct score {
    double loss = 0; ///< nats
    std::optional<double> accuracy; ///< share of right answers, where there are such
};

class task {
public:
    virtual ~task() = default;

    [[nodiscard]] virtual const sdp::model& model() const = 0;
    /// Statistics that belong to units of the model but are not trained, such as the means of a batch norm: a model of the
    /// same blocks and groups. Null if there are none.
    [[nodiscard]] virtual const sdp::model* statistics() const { return nullptr; }
    [[nodiscard]] virtual initial_value initial(sdp::parameter_id id) const = 0;
    [[nodiscard]] virtual initial_value initial_statistic(sdp::parameter_id) const { return {}; }

    /// @param stored the tensors by parameter, as a worker stores them
    /// @param statistics likewise; a pass in training updates them
    [[nodiscard]] virtual std::unique_ptr<network> make_network(
        const weights& stored, const weights& statistics, const network_settings& settings) const = 0;

    /// @throws sdp::error if there is too little data for so many workers
    [[nodiscard]] virtual std::unique_ptr<data_source> training_data(int rank, int world) const = 0;
    [[nodiscard]] virtual score evaluate(const weights& full, const weights& statistics) const = 0;
    /// Something that the model has made, for people to look at; mostly nothing.
    [[nodiscard]] virtual std::string sample(const weights&) const { return {}; }

    /// The name of a sample's items, and their number.
    [[nodiscard]] virtual std::string item() const = 0;
    [[nodiscard]] virtual std::int64_t items_per_sample() const = 0;
    /// Patterns for the neuron groups that a neuron partition splits: those assigned by granularity, and those of few, wide
    /// neurons, which are assigned one by one.
    [[nodiscard]] virtual std::string narrow_groups() const { return "*"; }
    [[nodiscard]] virtual std::string wide_groups() const { return {}; }
};

} // namespace trainer
