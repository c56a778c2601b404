// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief How the holders of units are chosen, and so how many other workers each worker exchanges with.
///
/// | design   | holders of a unit                        | peers of a worker | prefer it when                             |
/// |----------|------------------------------------------|-------------------|--------------------------------------------|
/// | `random` | k workers, drawn anew for every unit     | up to N−1         | N is small enough to exchange with all     |
/// | `cells`  | a cell of k workers that hold many units | ≤ m(k−1)          | N is large: mixing does not depend on N    |
/// | `cyclic` | k consecutive ranks on a ring            | ≤ 2(k−1)          | only near ranks are cheap to reach         |

#include <sdp/partition/detail/dealt_design.hpp>

#include <cstdint>
#include <string_view>
#include <vector>

namespace sdp {

/// How a partition policy chooses the k holders of its units among N workers.
///
/// - `random`: each unit goes to the k least loaded workers, chance deciding between equals. With many units every worker
///   shares something with every other. Time grows with units × N.
/// - `cells`: the workers are divided at random into cells of k, m times over (`divisions`), and units are dealt to the cells
///   of all divisions in turn. A worker is in m cells, so it has at most m(k−1) peers, however many workers there are. The
///   spectral gap is about 1 − (√(m−1) + √(k−1))²/(mk), which does not depend on N. If k does not divide N, each division ends
///   in a ring of fewer than 2k workers, in which the holders are k consecutive ones: up to k−1 more peers for those. The
///   rings of different divisions have different workers where N has enough.
/// - `cyclic`: k consecutive ranks on the ring 0 … N−1, each worker in two neighbouring stretches if k divides N. At most
///   2(k−1) peers, and near ones, but information needs about (N/k)² steps to go round. Takes no chances: no seed.
///
/// Whatever the number of units, `cells` takes O(m(N + k²)) time and memory for the design, `cyclic` O(N), or O(N·k) time if k
/// does not divide N; each group takes O(m·N/k) besides, or up to O(m·N). Units are balanced in number: any two workers hold
/// numbers of units that differ by at most 1 in the whole model, and by 2 in any one group and among units of one cost. Under
/// `cells` with k not dividing N it is 2 and 4, and 1 and 2 more for every further ring that a worker is in; under `cyclic` with
/// fewer units than the ring has stretches (2N/k, or N/gcd(N, k) if k does not divide N), 1 in the whole model only.
/// Connected whenever k ≥ 2 and U units are enough for any design, U(k−1) ≥ N−1. Source: random: ours, as the policies say;
/// cells: ours, after resolvable block designs; cyclic: ours.
enum class holder_design : std::uint8_t { random, cells, cyclic };

namespace detail {

    [[nodiscard]] constexpr std::string_view name_of(holder_design design) noexcept
    {
        switch (design) {
        case holder_design::random:
            return "random";
        case holder_design::cells:
            return "cells";
        case holder_design::cyclic:
            return "cyclic";
        }
        return "unknown";
    }

    /// @throws sdp::error if `cells` has a number of divisions with which it cannot connect the workers, or too many
    inline void check_divisions(holder_design design, int divisions)
    {
        if (design == holder_design::cells && (divisions < 2 || divisions > 64))
            fail("divisions is ", divisions, "; expected 2 to 64 for the design 'cells', because workers that are divided into ",
                "cells only once never exchange with another cell");
    }

    /// @throws sdp::error if there are so few units that somebody would hold none
    inline void check_reach(holder_design design, std::uint64_t units, int k, int world)
    {
        if (units * static_cast<std::uint64_t>(k) < static_cast<std::uint64_t>(world))
            fail("the design '", name_of(design), "' cannot give ", units, " units with ", k, " holders each to ", world,
                " workers so that each holds one; expected at least ", (world + k - 1) / k, " units, or more holders");
    }

    /// The deal order of a bounded design, for that many units in all.
    [[nodiscard]] inline deal_order make_deal_order(
        holder_design design, const std::vector<int>& workers, int k, int divisions, std::uint64_t units, portable_random& random)
    {
        return design == holder_design::cyclic ? cyclic_order(workers, k, units)
                                               : cell_design(workers, k, divisions).make(units, random);
    }

} // namespace detail
} // namespace sdp
