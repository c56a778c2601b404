// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Counts the gradients that are final.

#include <sdp/detail/step/readiness.hpp>
#include <sdp/src/separate.hpp>

#include <algorithm>

namespace sdp::detail {

SDP_INLINE readiness::readiness(const model& m, const subnetwork& s, std::span<const bucket> buckets)
    : model_(&m)
    , subnetwork_(&s)
    , buckets_(buckets)
    , is_ready_(m.parameters().size(), false)
    , bucket_of_(m.parameters().size())
    , missing_(buckets.size())
{
    for (std::size_t b = 0; b < buckets.size(); ++b)
        for (const auto p : buckets[b].parameters)
            bucket_of_[p] = b;
    begin_step();
}

SDP_INLINE void readiness::begin_step() noexcept
{
    is_ready_.assign(is_ready_.size(), false);
    for (std::size_t b = 0; b < missing_.size(); ++b)
        missing_[b] = buckets_[b].trained;
}

SDP_INLINE void readiness::require_first(parameter_id id) const
{
    if (is_ready_[index_of(id)])
        fail("parameter '", (*model_)[id].name, "' was ready twice in one step on rank ", subnetwork_->rank(), "; expected once");
}

SDP_INLINE void readiness::mark(parameter_id id)
{
    require_first(id);
    is_ready_[index_of(id)] = true;
    --missing_[bucket_of_[index_of(id)]];
}

SDP_INLINE void readiness::require_all() const
{
    for (std::size_t b = 0; b < missing_.size(); ++b)
        if (missing_[b] > 0)
            for (const auto p : buckets_[b].parameters)
                if (!is_ready_[p] && subnetwork_->trains(parameter_id(p)))
                    fail("parameter '", model_->parameters()[p].name, "' was not ready on rank ", subnetwork_->rank(),
                        " when the step was finished; expected a gradient for every trained parameter");
}

} // namespace sdp::detail
