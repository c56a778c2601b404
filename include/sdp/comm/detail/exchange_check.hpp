// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Refuses an ill-formed exchange before any message is posted, with one wording for all communicators.

#include <sdp/comm/communicator.hpp>
#include <sdp/error.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace sdp::detail {

/// Checks the arguments of `exchange`. Remembers the last check that met each peer, so that a check costs one pass and no memory.
class exchange_check {
public:
    exchange_check(int rank, int size)
        : rank_(rank)
        , size_(size)
        , sent_(static_cast<std::size_t>(size), 0)
        , received_(static_cast<std::size_t>(size), 0)
    {
    }

    /// @throws sdp::input_error naming the rank, the tag and the peer
    void operator()(exchange_tag tag, std::span<const outgoing> sends, std::span<const incoming> receives);

private:
    void look(exchange_tag tag, const auto& message, std::vector<std::uint64_t>& last_seen, std::string_view direction);

    int rank_;
    int size_;
    std::uint64_t round_ = 0;
    std::vector<std::uint64_t> sent_, received_; ///< number of the check that last met the peer
};

} // namespace sdp::detail

#ifndef SDP_SEPARATE_COMPILATION
#include <sdp/src/comm/detail/exchange_check.ipp>
#endif
