// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Small networks and made-up weights for the tests of the model, in double precision.

#include "common/model/weights.hpp"
#include "common/tests/split.hpp"
#include "resnet.hpp"

#include <sdp/masking/backward.hpp>
#include <sdp/masking/forward.hpp>
#include <sdp/random.hpp>
#include <sdp/subnetwork.hpp>

#include <ATen/ATen.h>

namespace trainer_test {

using namespace trainer;

/// An identity, a widening and a narrowing shortcut; branches narrower and wider than the stream.
inline const resnet_shape tiny {2, 8, 3, {{4, 6, 2}, {6, 5, 1}, {5, 8, 1}}};

inline batch some_images(const resnet_shape& s, std::uint64_t stream, std::int64_t count = 3)
{
    const sdp::counter_generator random(99, stream);
    batch out {at::empty({count, s.inputs, s.side, s.side}, at::kDouble), at::empty({count}, at::kLong)};
    for (std::int64_t i = 0; i < out.inputs.numel(); ++i)
        out.inputs.data_ptr<double>()[i] = random.normal(static_cast<std::uint64_t>(i));
    for (std::int64_t i = 0; i < count; ++i)
        out.targets.data_ptr<std::int64_t>()[i] = (i + static_cast<std::int64_t>(stream)) % s.classes;
    return out;
}

/// Weights large enough for every nonlinearity to matter; around 1 where the model starts with 1.
inline weights some_weights(const sdp::model& m, std::uint64_t seed, bool gradients)
{
    weights out;
    for (std::size_t p = 0; p < m.parameters().size(); ++p) {
        const auto& [name, shape, where] = m.parameters()[p];
        const bool around_one = name.ends_with("scale") || name.ends_with("variance");
        const sdp::counter_generator random(seed, p);
        auto value = at::empty({shape.begin(), shape.size()}, at::kDouble);
        for (std::int64_t i = 0; i < value.numel(); ++i)
            value.data_ptr<double>()[i] = around_one ? 0.5 + random.uniform(static_cast<std::uint64_t>(i))
                                                     : 0.3 * random.normal(static_cast<std::uint64_t>(i));
        out.push_back({{value.requires_grad_(gradients), true}});
    }
    return out;
}

inline sdp::subnetwork view(const sdp::model& m, const sdp::assignment& a, bool backward, int rank)
{
    const auto residency
        = backward ? sdp::residency(m, a, sdp::backward_masking {}) : sdp::residency(m, a, sdp::forward_masking {});
    return {m, residency, rank, sdp::value_layout::split};
}

} // namespace trainer_test
