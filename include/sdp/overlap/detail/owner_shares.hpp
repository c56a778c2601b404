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
        return std::min(total, (number * shorter + std::min(number, longer)) * grain());
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

/// The shares of one parameter, and the positions of the trainers that own them. The longer shares rotate from parameter to
/// parameter, so over the whole model every trainer owns its 1/k to within one grain.
struct dealt_shares {
    owner_shares of {};
    std::uint64_t first_owner = 0; ///< position of the trainer that owns share 0

    dealt_shares() = default;
    /// @param dealt number of grains of the class in earlier parameters; the constructor adds those of this one
    dealt_shares(std::uint64_t elements, std::uint64_t trainers, std::uint64_t& dealt) noexcept
        : of {elements, trainers}
        , first_owner(dealt % trainers)
    {
        dealt += of.grains();
    }

    /// Returns the position of the trainer that owns a share.
    [[nodiscard]] std::uint64_t owner_of(std::uint64_t share) const noexcept { return (share + first_owner) % of.trainers; }
    /// Returns the number of elements that the trainer at a position owns.
    [[nodiscard]] std::uint64_t owned_by(std::uint64_t position) const noexcept
    {
        return of.size((position + of.trainers - first_owner) % of.trainers);
    }
};

} // namespace sdp::detail
