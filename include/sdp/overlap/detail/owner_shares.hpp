// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The rule that deals the elements of one sharing class in one parameter to their owners.

#include <algorithm>
#include <cstdint>
#include <utility>

namespace sdp::detail {

/// Deals the elements of one sharing class in one parameter to its trainers: in consecutive shares of whole grains, as equal as
/// these allow. A grain is one element up to 256 trainers. With thousands of trainers, single elements would split every small
/// pinned parameter into as many pieces and messages as it has elements.
struct owner_shares {
    std::uint64_t total = 0; ///< elements
    std::uint64_t trainers = 1;

    [[nodiscard]] std::uint64_t grain() const noexcept { return (trainers + 255) / 256; }
    [[nodiscard]] std::uint64_t grains() const noexcept { return (total + grain() - 1) / grain(); }

    /// The first element of a share. Shares 0 … longer−1 have one grain more than the others.
    [[nodiscard]] std::uint64_t begin(std::uint64_t number) const noexcept
    {
        const std::uint64_t shorter = grains() / trainers, longer = grains() % trainers;
        return (std::min)(total, (number * shorter + (std::min)(number, longer)) * grain());
    }
    [[nodiscard]] std::uint64_t size(std::uint64_t number) const noexcept { return begin(number + 1) - begin(number); }

    /// The number of the share that contains an element, and the first element after that share.
    [[nodiscard]] std::pair<std::uint64_t, std::uint64_t> at(std::uint64_t element) const noexcept
    {
        const std::uint64_t shorter = grains() / trainers, longer = grains() % trainers, in_longer = longer * (shorter + 1);
        const std::uint64_t g = element / grain();
        const std::uint64_t number = g < in_longer ? g / (shorter + 1) : longer + (g - in_longer) / shorter;
        return {number, begin(number + 1)};
    }
};

} // namespace sdp::detail
