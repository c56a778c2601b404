// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Groups parameters into buckets.

#include <sdp/detail/exchange/bucket.hpp>
#include <sdp/src/separate.hpp>

#include <limits>

namespace sdp::detail {

SDP_INLINE std::vector<bucket> make_buckets(const model& m, std::size_t bucket_bytes, std::size_t most_parameters)
{
    std::vector<bucket> out;
    std::size_t filled = 0;
    for (std::size_t p = m.parameters().size(); p-- > 0;) {
        const auto& parameter = m.parameters()[p];
        const std::size_t bytes = static_cast<std::size_t>(parameter.size()) * size_of(parameter.type());
        if (out.empty() || filled + bytes > bucket_bytes || out.back().type != parameter.type()
            || out.back().parameters.size() == most_parameters) {
            out.emplace_back().type = parameter.type();
            filled = 0;
        }
        out.back().parameters.push_back(p);
        filled += bytes;
    }
    return out;
}

} // namespace sdp::detail
