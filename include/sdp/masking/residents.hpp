// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Who stores and who trains an element: the two rank sets that decide everything about it.

#include <sdp/partition/rank_set.hpp>

#include <cstdint>

namespace sdp {

/// The two rank sets that decide everything about an element.
struct residents {
    rank_set stored;
    rank_set trained;
    /// For tables: equal residents have equal hashes.
    [[nodiscard]] std::uint64_t hash() const noexcept { return detail::mix64(stored.hash()) ^ trained.hash(); }
    friend bool operator==(const residents&, const residents&) = default;
};

} // namespace sdp
