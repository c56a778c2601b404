// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Holder designs: the rule that chooses the holders of a unit, and with it the number of peers of a worker.
///
/// | design   | holders of a unit                        | peers of a worker | prefer it when                             |
/// |----------|------------------------------------------|-------------------|--------------------------------------------|
/// | `random` | the k least loaded, anew for every unit  | up to N−1         | N is small enough to exchange with all     |
/// | `cells`  | a cell of k workers that hold many units | ≤ m(k−1)          | N is large: mixing does not depend on N    |
/// | `cyclic` | k consecutive ranks on a ring            | ≤ 2(k−1)          | only near ranks are cheap to reach         |

#include <sdp/partition/detail/dealt_design.hpp>

#include <cstdint>
#include <string_view>
#include <vector>

namespace sdp {

/// Rule by which a partition policy chooses the k holders of a unit among N workers.
///
/// - `random`: assigns each unit to the k least loaded workers and draws between equals. With many units every worker shares some
///   unit with every other. Time grows with units × N.
/// - `cells`: divides the workers at random into cells of k workers, m times (`divisions`), and deals the units to the cells of
///   all divisions in turn. A worker is in m cells, so it has at most m(k−1) peers at any N. The spectral gap is about 1 −
///   (√(m−1) + √(k−1))²/(mk), independent of N. If k does not divide N, each division ends with a ring of fewer than 2k workers,
///   and the holders of a unit there are k consecutive workers of the ring, which adds up to k−1 peers for these workers. Rings
///   of different divisions have different workers where N is large enough.
/// - `cyclic`: chooses k consecutive ranks on the ring 0 … N−1; if k divides N, each worker is in two neighbouring windows. A
///   worker has at most 2(k−1) peers, all of near rank, but information needs about (N/k)² steps to cross the ring. Uses no
///   randomness and no seed.
///
/// At any number of units, `cells` takes O(m(N + k²)) time and memory for the design, and `cyclic` O(N), or O(N·k) time if k does
/// not divide N; each group takes O(m·N/k) in addition, or up to O(m·N). Units are balanced in number: the unit counts of any two
/// workers differ by at most 1 in the whole model, and by at most 2 in any one group and among units of one cost. Under `cells`
/// with k not dividing N these bounds are 2 and 4, and they grow by 1 and 2 for every further ring that a worker is in. Under
/// `cyclic` with fewer units than the ring has windows (2N/k, or N/gcd(N, k) if k does not divide N), only the bound of 1 in the
/// whole model holds. A design connects all workers whenever k ≥ 2 and U(k−1) ≥ N−1 for U units, which any design needs. Source:
/// `random` is ours, as the policies say; `cells` is ours, after resolvable block designs; `cyclic` is ours.
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

    /// @throws sdp::input_error if `cells` has too few divisions to connect the workers, or too many
    inline void check_divisions(holder_design design, int divisions)
    {
        if (design == holder_design::cells && (divisions < 2 || divisions > 64))
            fail("divisions is ", divisions, "; expected 2 to 64 for the design 'cells', because workers that are divided into ",
                "cells only once never exchange with another cell");
    }

    /// @throws sdp::input_error if some worker would hold no unit, because there are too few
    inline void check_reach(holder_design design, std::uint64_t units, int k, int world)
    {
        if (units * static_cast<std::uint64_t>(k) < static_cast<std::uint64_t>(world))
            fail("the design '", name_of(design), "' cannot give ", units, " units with ", k, " holders each to ", world,
                " workers so that each holds one; expected at least ", (world + k - 1) / k, " units, or more holders");
    }

    /// Makes the deal order of a bounded design for `units` units in all.
    [[nodiscard]] inline deal_order make_deal_order(
        holder_design design, const std::vector<int>& workers, int k, int divisions, std::uint64_t units, portable_random& random)
    {
        return design == holder_design::cyclic ? cyclic_order(workers, k, units)
                                               : cell_design(workers, k, divisions).make(units, random);
    }

} // namespace detail
} // namespace sdp
