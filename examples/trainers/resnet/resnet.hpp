// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief A ResNet that is built from whatever a worker stores of its weights.
///
/// The channels between the two convolutions of a residual branch do not see each other: each has a batch norm of its own,
/// and the second convolution adds them up. So a branch is a list of *parts*, each compact: one or none under forward
/// masking, a trained and a frozen one under backward masking. What follows the sum, the second batch norm, is not linear,
/// so it works on the whole sum.

#include "common/model/drops.hpp"
#include "common/model/task.hpp"
#include "resnet_shape.hpp"

#include <sdp/model.hpp>

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace trainer {

/// The handles of the parameters, in the order of the forward pass.
struct resnet_parameters {
    struct norm {
        sdp::parameter_id scale, shift;
        sdp::parameter_id mean, variance; ///< of the statistics
    };
    struct branch {
        sdp::parameter_id conv1, conv2;
        norm norm1, norm2;
    };
    struct projection {
        sdp::parameter_id conv;
        norm output;
    };
    struct block {
        std::int64_t stride = 1;
        std::optional<resnet_parameters::branch> branch;
        std::optional<projection> shortcut; ///< nothing: the identity
    };
    sdp::parameter_id stem {};
    norm stem_norm {};
    std::vector<block> blocks;
    sdp::parameter_id head {}, head_shift {};
};

/// The model as the library sees it, and the means and variances of its batch norms as a second model.
///
/// Block `blockN` is a whole residual branch, both batch norms included; the channels within it are the group
/// `blockN.channels`. The second batch norm is on no group: a neuron partition leaves it with all workers. Stem, shortcuts
/// and output layer are pinned.
struct resnet_description {
    resnet_shape shape;
    sdp::model model, statistics;
    resnet_parameters parameters;
};

/// @param pin blocks whose branches are pinned like the stem
/// @param balance what blocks cost
[[nodiscard]] resnet_description describe(
    const resnet_shape& shape, pinning pin = pinning::none, balancing balance = balancing::parameters);

/// Convolutions are Kaiming normal by what leaves them (fan-out), which keeps the gradient's size from layer to layer; batch
/// norms do nothing yet.
[[nodiscard]] initial_value initial(const resnet_description& d, sdp::parameter_id id);
/// Means of 0 and variances of 1.
[[nodiscard]] initial_value initial_statistic(const resnet_description& d, sdp::parameter_id id);

/// The forward pass over given weights. Cheap to make: it holds handles.
class resnet final : public network {
public:
    /// @param statistics of the batch norms: updated in training, gone by otherwise. Empty: there are none, and every batch
    ///                   goes by its own
    resnet(const resnet_description& d, const weights& stored, const weights& statistics, const network_settings& settings = {});

    /// Scores of the classes, [images, classes], from images [images, channels, height, width].
    [[nodiscard]] at::Tensor logits(const at::Tensor& images) const;

    /// Mean negative log-likelihood in nats, a scalar. What a training pass drops by chance is drawn anew each time.
    [[nodiscard]] at::Tensor loss(const batch& b) override;

    /// Moves the statistics towards those of the images, by that share of the way. Only for a network in training.
    void collect(const at::Tensor& images, double share);

private:
    struct norm {
        at::Tensor scale, shift, mean, variance;
    };
    struct part {
        at::Tensor conv1, conv2;
        norm between;
    };
    struct block {
        std::int64_t stride = 1;
        std::vector<part> parts; ///< empty: the branch is absent
        norm output; ///< of the branch
        double scale = 1; ///< of what the branch adds
        bool droppable = false;
        at::Tensor shortcut; ///< undefined: the identity
        norm shortcut_norm;
    };

    [[nodiscard]] at::Tensor normalized(const at::Tensor& x, const norm& n, bool again = false) const;
    [[nodiscard]] at::Tensor branch(std::size_t block, std::uint64_t pass, const at::Tensor& x) const;

    at::Tensor stem_, head_, head_shift_;
    norm stem_norm_;
    std::vector<block> blocks_;
    double momentum_ = 0.1;
    network_settings settings_;
    drops drops_;
};

} // namespace trainer
