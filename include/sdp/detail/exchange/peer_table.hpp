// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The peers of a plan.

#include <sdp/overlap/plan.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

namespace sdp::detail {

/// The peers of a plan, and for every class the positions of its trainers and readers in the list of peers.
struct peer_table {
    static constexpr std::uint32_t self = (std::numeric_limits<std::uint32_t>::max)();

    struct members {
        std::vector<std::uint32_t> trainers, readers; ///< indices into `ranks`, or `self`
    };

    std::vector<int> ranks; ///< all ranks that this worker exchanges with, ascending
    std::vector<members> classes;

    peer_table() = default;
    explicit peer_table(const overlap_plan& plan)
    {
        for (const auto& c : plan.classes) {
            ranks.insert(ranks.end(), c.trainers.begin(), c.trainers.end());
            if (c.position >= 0) // two readers never exchange
                ranks.insert(ranks.end(), c.readers.begin(), c.readers.end());
        }
        std::sort(ranks.begin(), ranks.end());
        ranks.erase(std::unique(ranks.begin(), ranks.end()), ranks.end());
        std::erase(ranks, plan.rank);
        const auto index = [&](int rank) {
            const auto at = std::lower_bound(ranks.begin(), ranks.end(), rank);
            return at != ranks.end() && *at == rank ? static_cast<std::uint32_t>(at - ranks.begin()) : self;
        };
        for (const auto& c : plan.classes) {
            auto& m = classes.emplace_back();
            for (const int rank : c.trainers)
                m.trainers.push_back(index(rank));
            for (const int rank : c.readers)
                m.readers.push_back(index(rank));
        }
    }
};

} // namespace sdp::detail
