// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief A LLaMA that is built from whatever a worker stores of its weights.
///
/// RMSNorm, rotary positions, causal attention with optional query groups, SwiGLU; no bias, untied embeddings.
///
/// Heads and hidden feed-forward neurons do not see each other: a branch's output is the sum over any grouping of them.
/// So a branch is a list of *parts*, each compact. A worker under forward masking has one part or none; under backward
/// masking it has a trained and a frozen one, and no gradient is computed for the weights of the frozen one because
/// autograd never sees them ask for it.

#include "common/model/drops.hpp"
#include "common/model/task.hpp"
#include "llama_shape.hpp"

#include <sdp/model.hpp>

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace trainer {

/// The handles of the parameters, in the order of the forward pass.
struct llama_parameters {
    struct layer {
        sdp::parameter_id attention_norm, q, k, v, o, ffn_norm, gate, up, down;
    };
    sdp::parameter_id embedding {};
    std::vector<layer> layers;
    sdp::parameter_id final_norm {}, head {};
};

/// The model as the library sees it.
///
/// Blocks `layerN.attention` and `layerN.ffn` are whole residual branches, with the norm in front: nothing else reads it.
/// Groups `layerN.heads` (a key-value head with its query heads) and `layerN.hidden` lie inside them. Embedding, final
/// norm and output head are pinned.
struct llama_description {
    llama_shape shape;
    sdp::model model;
    llama_parameters parameters;
};

/// @param pin layers that are pinned like the embedding
/// @param balance what blocks cost
[[nodiscard]] llama_description describe(
    const llama_shape& shape, pinning pin = pinning::none, balancing balance = balancing::parameters);

/// Normally distributed around 0; the scales of the norms start at 1. Matrices that end a residual branch start smaller, so
/// that the stream does not grow with depth.
[[nodiscard]] initial_value initial(const llama_description& d, sdp::parameter_id id);

/// The forward pass over given weights. Cheap to make: it holds handles.
class llama final : public network {
public:
    llama(const llama_description& d, const weights& stored, const network_settings& settings = {});

    /// Scores of the next byte, [sequences, length, vocabulary], from tokens [sequences, length].
    [[nodiscard]] at::Tensor logits(const at::Tensor& tokens) const;

    /// Mean negative log-likelihood in nats, a scalar. What a training pass drops by chance is drawn anew each time.
    [[nodiscard]] at::Tensor loss(const batch& b) override;

private:
    struct attention_part {
        at::Tensor q, k, v, o;
    };
    struct ffn_part {
        at::Tensor gate, up, down;
    };
    struct layer {
        at::Tensor attention_norm, ffn_norm;
        std::vector<attention_part> attention; ///< empty: the branch is absent
        std::vector<ffn_part> ffn;
        bool pinned = false;
        double scale = 1; ///< of what the branches add
    };

    [[nodiscard]] at::Tensor attend(const attention_part& part, const at::Tensor& x) const;
    [[nodiscard]] at::Tensor attention_branch(std::size_t layer, std::uint64_t pass, const at::Tensor& x) const;
    [[nodiscard]] at::Tensor ffn_branch(std::size_t layer, std::uint64_t pass, const at::Tensor& x) const;
    [[nodiscard]] at::Tensor rotate(const at::Tensor& x) const;

    llama_shape shape_;
    at::Tensor embedding_, final_norm_, head_;
    std::vector<layer> layers_;
    at::Tensor cosines_, sines_; ///< [sequence, 1, head_dim / 2]
    at::Tensor causal_; ///< [sequence, sequence]: 0, or −∞ for what lies ahead
    network_settings settings_;
    drops drops_;
};

} // namespace trainer
