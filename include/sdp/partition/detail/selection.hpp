// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Selects the blocks and the neuron groups of a policy by their names.

#include <sdp/model.hpp>
#include <sdp/partition/policy.hpp>

#include <range/v3/range/conversion.hpp>
#include <range/v3/view/filter.hpp>
#include <range/v3/view/iota.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace sdp::detail {

/// Numbers of the names that match. Blocks and groups share this one pipeline, because each pipeline costs every unit that
/// compiles it a tenth of a second.
[[nodiscard]] inline std::vector<std::size_t> matching(std::string_view pattern, const std::vector<std::string_view>& names)
{
    return ranges::views::iota(std::size_t {0}, names.size())
        | ranges::views::filter([&](std::size_t i) { return matches(pattern, names[i]); }) | ranges::to<std::vector>();
}

/// The blocks whose names match.
/// @throws sdp::input_error if no name matches
[[nodiscard]] inline std::vector<block_id> select_blocks(const model& m, const std::string& pattern)
{
    std::vector<std::string_view> names;
    for (const auto& b : m.blocks())
        names.push_back(b.name);
    std::vector<block_id> out;
    for (const auto number : matching(pattern, names))
        out.push_back(block_id(number));
    if (out.empty())
        fail(m.blocks().empty() ? "there is nothing to split for a block partition: " : "", "no block is called '", pattern,
            "'; the model declares ", m.blocks().size(), " blocks");
    return out;
}

/// The groups whose names match.
/// @throws sdp::input_error if no name matches
[[nodiscard]] inline std::vector<group_id> select_groups(const model& m, const std::string& pattern)
{
    std::vector<std::string_view> names;
    for (const auto& g : m.groups())
        names.push_back(g.name);
    std::vector<group_id> out;
    for (const auto number : matching(pattern, names))
        out.push_back(group_id(number));
    if (out.empty())
        fail(m.groups().empty() ? "there is nothing to split for a neuron partition: " : "", "no neuron group is called '",
            pattern, "'; the model declares ", m.groups().size(), " groups");
    return out;
}

} // namespace sdp::detail
