// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The residents of an element: its storers and its trainers.

#include <sdp/partition/rank_set.hpp>

#include <cstdint>

namespace sdp {

/// The two rank sets that determine everything else about an element.
struct residents {
    rank_set stored;
    rank_set trained;
    /// Hash for tables: equal residents have equal hashes.
    [[nodiscard]] std::uint64_t hash() const noexcept { return detail::mix64(stored.hash()) ^ trained.hash(); }
    friend bool operator==(const residents&, const residents&) = default;
};

} // namespace sdp
