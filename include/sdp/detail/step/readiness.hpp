// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Records the final gradients of a step, and from them the buckets that may start.

#include <sdp/detail/exchange/bucket_layout.hpp>
#include <sdp/subnetwork.hpp>

#include <span>
#include <vector>

namespace sdp::detail {

class readiness {
public:
    readiness(const model& m, const subnetwork& s, std::span<const bucket> buckets);

    void begin_step() noexcept;

    /// @throws sdp::input_error if it was ready already in this step
    void require_first(parameter_id id) const;
    /// @throws sdp::input_error as `require_first`
    void mark(parameter_id id);

    /// Returns true if every trained parameter of a bucket is ready; false for the index after the last bucket.
    [[nodiscard]] bool complete(std::size_t b) const noexcept { return b < missing_.size() && missing_[b] == 0; }
    /// @throws sdp::input_error naming a trained parameter that is not ready
    void require_all() const;

private:
    const model* model_;
    const subnetwork* subnetwork_;
    std::span<const bucket> buckets_;
    std::vector<bool> is_ready_; ///< by parameter
    std::vector<std::size_t> bucket_of_; ///< by parameter
    std::vector<std::size_t> missing_; ///< by bucket: trained parameters not ready yet
};

} // namespace sdp::detail

#ifndef SDP_SEPARATE_COMPILATION
#include <sdp/src/detail/step/readiness.ipp>
#endif
