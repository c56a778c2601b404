// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Full weights, what a worker keeps of them, and how the gradients of the two compare. In double precision.

#include "common/model/weights.hpp"

#include <sdp/adapters/torch.hpp>
#include <sdp/subnetwork.hpp>

#include <ATen/ATen.h>

#include <doctest/doctest.h>

namespace trainer_test {

using namespace trainer;

/// A worker's part of full weights.
inline weights cut(const weights& full, const sdp::subnetwork& mine, bool gradients = true)
{
    weights out(full.size());
    for (std::size_t p = 0; p < full.size(); ++p)
        for (const auto& slab : mine.slabs(sdp::parameter_id(p))) {
            auto value = at::empty({slab.shape.begin(), slab.shape.size()}, at::kDouble);
            sdp::slice(full[p][0].value.detach(), value, slab);
            out[p].push_back({value.requires_grad_(gradients && slab.trained), slab.trained});
        }
    return out;
}

/// Full weights in which everything that a worker does not store is zero.
inline weights zeroed(const weights& full, const sdp::subnetwork& mine)
{
    weights out;
    const auto stored = cut(full, mine, false);
    for (std::size_t p = 0; p < full.size(); ++p) {
        auto value = at::zeros_like(full[p][0].value.detach());
        const auto slabs = mine.slabs(sdp::parameter_id(p));
        for (std::size_t i = 0; i < slabs.size(); ++i)
            sdp::unslice(stored[p][i].value, value, slabs[i]);
        out.push_back({{value.requires_grad_(true), true}});
    }
    return out;
}

/// Compares the gradients of the trained parts with the same places of full gradients.
inline void check_gradients(
    const sdp::model& m, const weights& local, const weights& full, const sdp::subnetwork& mine, double relative, double absolute)
{
    for (std::size_t p = 0; p < full.size(); ++p) {
        CAPTURE(m.parameters()[p].name);
        const auto slabs = mine.slabs(sdp::parameter_id(p));
        REQUIRE(local[p].size() == slabs.size());
        for (std::size_t i = 0; i < slabs.size(); ++i) {
            const auto& [value, trained] = local[p][i];
            CHECK(trained == slabs[i].trained);
            REQUIRE(value.grad().defined() == trained);
            if (!trained)
                continue;
            auto expected = at::empty_like(value.detach());
            sdp::slice(full[p][0].value.grad(), expected, slabs[i]);
            CHECK(at::allclose(value.grad(), expected, relative, absolute));
        }
    }
}

} // namespace trainer_test
