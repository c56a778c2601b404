// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The concept of a partition policy, and the policies that need no design of their own.
///
/// | policy              | splits                           | prefer it when                                                |
/// |---------------------|----------------------------------|---------------------------------------------------------------|
/// | `pinned`            | nothing                          | you want plain data parallelism through the same code         |
/// | `neuron_partition`  | neuron groups                    | blocks are few or unequal, or every layer should stay active  |
/// | `block_partition`   | blocks                           | compute and activations should shrink with the parameters     |
/// | `nested_partition`  | blocks, then neurons inside them | one level alone cannot reach the coverage you want            |
/// | `combined`          | what its parts split             | different groups or blocks need different policies            |

#include <sdp/partition/assignment.hpp>

#include <cmath>
#include <concepts>
#include <optional>
#include <string_view>
#include <tuple>

namespace sdp {

/// Maps a model and a world size to an assignment.
///
/// | expression    | result       | throws                                   | meaning                            |
/// |---------------|--------------|------------------------------------------|------------------------------------|
/// | `p(m, world)` | `assignment` | `sdp::error` on what it cannot partition | the holders of every unit of `m`   |
///
/// Semantics the compiler cannot check: the result depends on nothing but `p`, `m` and `world`, and is the same on every worker
/// and platform. A policy leaves all other groups and blocks pinned.
///
/// @snippet examples/own_partition.cpp policy
template <class P>
concept partition_policy = requires(const P& p, const model& m, int world)
{
    {
        p(m, world)
        } -> std::same_as<assignment>;
};

/// Assigns everything to all workers: plain data parallelism. Costs 2(N−1)/N model sizes of traffic per worker and step.
struct pinned {
    [[nodiscard]] assignment operator()(const model& m, int world) const { return {m, world}; }
};

/// Converts a coverage C to the number of holders k = C·N.
/// @throws sdp::input_error unless 0 < C ≤ 1 and C·N is whole
[[nodiscard]] inline int holders_for(double coverage, int world)
{
    if (!(coverage > 0 && coverage <= 1))
        detail::fail("coverage is ", coverage, "; expected a number above 0 and at most 1");
    const double holders = coverage * world;
    const double whole = std::round(holders);
    if (whole < 1 || std::abs(holders - whole) > 1e-6)
        detail::fail("coverage ", coverage, " of ", world, " workers gives ", holders,
            " holders; expected a whole number from 1 to ", world);
    return static_cast<int>(whole);
}

/// The number of holders k where a policy is given the coverage or the holders themselves.
/// @throws sdp::input_error unless exactly one is given and in its range
[[nodiscard]] inline int holders_for(std::optional<double> coverage, std::optional<int> holders, int world)
{
    if (coverage && holders)
        detail::fail("coverage ", *coverage, " and holders ", *holders, " are both given; expected one of them");
    if (coverage)
        return holders_for(*coverage, world);
    if (!holders)
        detail::fail("neither coverage nor holders is given; expected one, such as .coverage = 0.5 or .holders = 2");
    if (*holders < 1 || *holders > world)
        detail::fail("holders is ", *holders, "; expected 1 to ", world, ", the number of workers to choose from");
    return *holders;
}

/// Combines several policies, each for the groups and blocks that it selects.
///
/// `combined(block_partition{.coverage = 0.5, .blocks = "*.ffn"}, neuron_partition{.coverage = 0.5, .groups = "*.heads"})`
template <partition_policy... Policies> struct combined {
    std::tuple<Policies...> policies;

    constexpr explicit combined(Policies... p)
        : policies(std::move(p)...)
    {
    }

    /// @throws sdp::input_error if two of the policies assign the same group or block
    [[nodiscard]] assignment operator()(const model& m, int world) const
    {
        assignment out(m, world);
        std::apply([&](const Policies&... p) { (merge(out, m, p(m, world)), ...); }, policies);
        return out;
    }

private:
    static void merge(assignment& out, const model& m, const assignment& part)
    {
        std::vector<std::optional<std::uint32_t>> numbers(part.holder_set_count()); // number in `out` of each set of the part
        for (std::size_t g = 0; g < part.group_count(); ++g) {
            const auto id = group_id(g);
            if (!part.partitioned(id))
                continue;
            if (out.partitioned(id))
                detail::fail("neuron group '", m[id].name, "' is assigned by two of the combined policies; expected at most one");
            std::vector<assignment::unit> units(part.units(id).begin(), part.units(id).end());
            for (auto& u : units) {
                auto& number = numbers[u.holders];
                if (!number)
                    number = out.add_holders(part.holders(u));
                u.holders = *number;
            }
            out.assign(id, std::move(units));
        }
        for (std::size_t b = 0; b < part.block_count(); ++b) {
            const auto id = block_id(b);
            if (!part.partitioned(id))
                continue;
            if (out.partitioned(id))
                detail::fail("block '", m[id].name, "' is assigned by two of the combined policies; expected at most one");
            out.assign(id, part.holders(id));
        }
    }
};

namespace detail {

    /// Matches a name as a shell does: `*` is any sequence of characters, `?` any one character.
    [[nodiscard]] constexpr bool matches(std::string_view pattern, std::string_view name) noexcept
    {
        std::size_t p = 0, n = 0, star = std::string_view::npos, resume = 0;
        while (n < name.size()) {
            if (p < pattern.size() && pattern[p] == '*') {
                star = p++;
                resume = n;
            } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n])) {
                ++p;
                ++n;
            } else if (star != std::string_view::npos) {
                p = star + 1;
                n = ++resume;
            } else {
                return false;
            }
        }
        return pattern.substr(p).find_first_not_of('*') == std::string_view::npos;
    }

} // namespace detail
} // namespace sdp
