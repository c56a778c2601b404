// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The ResNet and its images, as the training loop sees them.

#include "common/model/task.hpp"
#include "common/settings/options.hpp"
#include "images.hpp"
#include "resnet.hpp"

#include <memory>
#include <string>
#include <vector>

namespace trainer {

/// Statistics that batch norms use when the full model is evaluated. Training uses those of the batch under every choice, so
/// the choice does not change it.
///
/// A worker that is without some channels under forward masking sees sums that lack them, so its means and variances are not
/// those of the full model. The choices differ in what is done about it.
enum class normalization_by {
    batch, ///< the evaluated batch: the full model's own, but what an image gets depends on those beside it
    running, ///< averages over the steps (0.1 of each new one), which each worker keeps of what it stores; averaged over those
             ///< who train the unit. Costs nothing, and knows only the workers' parts
    recalibrate ///< the full model's over 16 batches of training data, computed before each evaluation
};

class resnet_task final : public task {
public:
    /// @param data null: numbers drawn evenly stand in for it
    /// @throws sdp::error if there are too few images
    resnet_task(
        const options& o, const resnet_shape& shape, normalization_by norms, std::shared_ptr<const image_collection> data);

    [[nodiscard]] const resnet_description& description() const noexcept { return description_; }
    [[nodiscard]] const sdp::model& model() const override { return description_.model; }
    /// Only what is needed is kept: the running averages, if they are gone by.
    [[nodiscard]] const sdp::model* statistics() const override
    {
        return norms_ == normalization_by::running ? &description_.statistics : nullptr;
    }
    [[nodiscard]] initial_value initial(sdp::parameter_id id) const override { return trainer::initial(description_, id); }
    [[nodiscard]] initial_value initial_statistic(sdp::parameter_id id) const override
    {
        return trainer::initial_statistic(description_, id);
    }
    [[nodiscard]] std::unique_ptr<network> make_network(
        const weights& stored, const weights& statistics, const network_settings& settings) const override;
    [[nodiscard]] std::unique_ptr<data_source> training_data(int rank, int world) const override;

    /// Over the held-out images.
    [[nodiscard]] score evaluate(const weights& full, const weights& statistics) const override;

    [[nodiscard]] std::string item() const override { return "images"; }
    [[nodiscard]] std::int64_t items_per_sample() const override { return 1; }

private:
    /// The full model's statistics over some batches of all workers' training data.
    [[nodiscard]] weights recalibrated(const weights& full) const;

    options options_;
    resnet_description description_;
    normalization_by norms_;
    std::shared_ptr<const image_collection> images_;
    std::vector<batch> held_out_;
};

} // namespace trainer
