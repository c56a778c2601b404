// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief One worker's share of the training: weights, passes and optimizer, without any communication.

#include "data.hpp"
#include "llama.hpp"
#include "memory.hpp"
#include "optimizer.hpp"
#include "options.hpp"
#include "report.hpp"
#include "weights.hpp"

#include <sdp/subnetwork.hpp>
#include <sdp/synchronizer_options.hpp>

#include <optional>
#include <span>
#include <vector>

namespace trainer {

class learner {
public:
    /// Counts the memory of the calling thread from here on.
    /// @param owned the stretches that this worker updates; nothing if it updates all that it trains
    learner(const options& o, const llama_description& d, const sdp::subnetwork& mine,
        std::optional<std::span<const sdp::owned_range>> owned);

    [[nodiscard]] const weights& stored() const noexcept { return stored_; }

    /// Forward and backward on one micro-batch of `micro_batches`; gradients add up. Returns the loss of this one.
    double pass(const batch& b, int micro_batches);

    /// Gives a gradient of zeros to what is trained but was not reached by any pass, such as the norm in front of a branch
    /// of which this worker holds no neuron. Returns these parameters.
    std::vector<sdp::parameter_id> complete_gradients();

    /// One optimizer step on the exchanged gradients, clipped by their global norm.
    void update(double rate, double gradient_norm);

    /// Frees the gradients: the next forward pass needs the memory.
    void drop_gradients();

    /// The flat shard that this worker owns: what the library is asked to fill and to publish. Undefined without `owned`.
    [[nodiscard]] const at::Tensor& owned_values() const noexcept { return owned_values_; }
    [[nodiscard]] const at::Tensor& owned_gradients() const noexcept { return owned_gradients_; }

    /// Measures what is live. Call it between `update` and `drop_gradients`.
    void measure(worker_report& out) const;

private:
    /// What the optimizer steps on, and whose it is.
    struct item {
        sdp::parameter_id parameter;
        at::Tensor value;
    };

    memory_meter& meter_;
    const llama_description& description_;
    weights stored_;
    llama model_;
    at::Tensor owned_values_, owned_gradients_;
    std::vector<item> items_;
    adamw optimizer_;
    std::int64_t activation_peak_ = 0;
};

} // namespace trainer
