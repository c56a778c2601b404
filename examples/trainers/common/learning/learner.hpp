// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief One worker's share of the training: weights, passes and optimizer, without any communication.

#include "common/backends/device.hpp"
#include "common/backends/memory.hpp"
#include "common/learning/optimizer.hpp"
#include "common/model/task.hpp"
#include "common/model/weights.hpp"
#include "common/run/report.hpp"
#include "common/settings/options.hpp"

#include <sdp/subnetwork.hpp>
#include <sdp/synchronizer_options.hpp>

#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace trainer {

class learner {
public:
    /// Counts the memory of the calling thread from here on.
    /// @param statistics this worker's part of the task's statistics; null if it has none
    /// @param owned the stretches that this worker updates; nothing if it updates all that it trains
    learner(const options& o, const task& t, const sdp::subnetwork& mine, const sdp::subnetwork* statistics,
        std::optional<std::span<const sdp::owned_range>> owned);

    [[nodiscard]] const weights& stored() const noexcept { return stored_; }
    [[nodiscard]] const weights& statistics() const noexcept { return statistics_; }

    /// Forward and backward on one micro-batch of `micro_batches`; gradients add up. Returns the loss of this one.
    double pass(const batch& b, int micro_batches);

    /// To be called with each gradient that becomes final in a pass, so that the peak can be told apart into what it is of.
    void gradient_is_final(const at::Tensor& gradient);

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

    /// Measures what is live, and reports the peaks. Call it between `update` and `drop_gradients`.
    void measure(worker_report& out);

private:
    /// Tensors that the optimizer updates, and their owner.
    struct item {
        sdp::parameter_id parameter;
        at::Tensor value;
    };

    /// Compares the peak since the last call with the highest one.
    void look_for_peak();

    const options& options_;
    const task& task_;
    c10::Device device_;
    memory_meter& meter_;
    weights stored_, statistics_;
    std::unique_ptr<network> network_;
    at::Tensor owned_values_, owned_gradients_;
    std::vector<item> items_;
    optimizer optimizer_;
    int passes_ = 0; ///< since the gradients were dropped
    std::int64_t gradients_live_ = 0; ///< what they take, bytes
    std::int64_t pass_peak_ = 0, activation_peak_ = 0;
    std::int64_t highest_ = 0, gradients_at_highest_ = 0;
};

} // namespace trainer
