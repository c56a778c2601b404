// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Which gradients of a step are final, and so which buckets may go.

#include <sdp/detail/exchange/bucket_layout.hpp>
#include <sdp/subnetwork.hpp>

#include <span>
#include <vector>

namespace sdp::detail {

class readiness {
public:
    readiness(const model& m, const subnetwork& s, std::span<const bucket> buckets)
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

    void begin_step() noexcept
    {
        is_ready_.assign(is_ready_.size(), false);
        for (std::size_t b = 0; b < missing_.size(); ++b)
            missing_[b] = buckets_[b].trained;
    }

    /// @throws sdp::error if it was ready already in this step
    void require_first(parameter_id id) const
    {
        if (is_ready_[index_of(id)])
            fail("parameter '", (*model_)[id].name, "' was ready twice in one step on rank ", subnetwork_->rank(),
                "; expected once");
    }
    /// @throws sdp::error as `require_first`
    void mark(parameter_id id)
    {
        require_first(id);
        is_ready_[index_of(id)] = true;
        --missing_[bucket_of_[index_of(id)]];
    }

    /// Whether every trained parameter of a bucket is ready; of the one after the last it is not.
    [[nodiscard]] bool complete(std::size_t b) const noexcept { return b < missing_.size() && missing_[b] == 0; }
    /// @throws sdp::error naming a trained parameter that is not ready
    void require_all() const
    {
        for (std::size_t b = 0; b < missing_.size(); ++b)
            if (missing_[b] > 0)
                for (const auto p : buckets_[b].parameters)
                    if (!is_ready_[p] && subnetwork_->trains(parameter_id(p)))
                        fail("parameter '", model_->parameters()[p].name, "' was not ready on rank ", subnetwork_->rank(),
                            " when the step was finished; expected a gradient for every trained parameter");
    }

private:
    const model* model_;
    const subnetwork* subnetwork_;
    std::span<const bucket> buckets_;
    std::vector<bool> is_ready_; ///< by parameter
    std::vector<std::size_t> bucket_of_; ///< by parameter
    std::vector<std::size_t> missing_; ///< by bucket: trained parameters not ready yet
};

} // namespace sdp::detail
