// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Checks that at least one worker trains every element.

#include <sdp/masking/residency.hpp>
#include <sdp/src/separate.hpp>

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

namespace sdp {

SDP_INLINE void residency::check_every_element_is_trained(const model& m) const
{
    std::vector<std::uint32_t> seen_for(classes_.size(), 0);
    std::uint32_t look = 0;
    const auto distinct = [&](group_id g) {
        ++look;
        std::vector<std::uint32_t> out;
        for (const auto& r : runs(g))
            if (seen_for[r.residents] != look) {
                seen_for[r.residents] = look;
                out.push_back(r.residents);
            }
        return out;
    };
    const auto untrained = [](const parameter& p) {
        detail::fail("parameter '", p.name,
            "' has elements that nobody trains: no rank holds all of the units they "
            "lie in; expected at least one holder for every element");
    };
    std::set<std::vector<std::uint32_t>> done;
    std::optional<detail::resident_classes> table;
    for (const auto& p : m.parameters()) {
        const std::uint32_t outer = p.where.within ? of(*p.where.within) : detail::resident_classes::pinned;
        std::vector<std::uint32_t> units {outer};
        for (const auto& axis : p.where.axes)
            units.push_back(static_cast<std::uint32_t>(index_of(axis.group)));
        // An element in a single unit has the trainers of that unit, which are known to exist.
        if (units.size() == 1 || (units.size() == 2 && outer == detail::resident_classes::pinned))
            continue;
        std::sort(units.begin() + 1, units.end());
        if (!done.insert(units).second)
            continue;
        if (units.size() == 2) {
            for (const auto number : distinct(group_id(units[1])))
                if (!classes_[number].trained.intersects(classes_[outer].trained))
                    untrained(p);
            continue;
        }
        if (!table)
            table.emplace(&classes_);
        std::vector<std::uint32_t> met {outer};
        for (std::size_t i = 1; i < units.size(); ++i) {
            std::vector<std::uint32_t> next;
            for (const auto inner : distinct(group_id(units[i])))
                for (const auto number : met)
                    next.push_back(table->intersect(number, inner));
            std::sort(next.begin(), next.end());
            next.erase(std::unique(next.begin(), next.end()), next.end());
            met = std::move(next);
        }
        for (const auto number : met)
            if ((*table)[number].trained.empty())
                untrained(p);
    }
}

} // namespace sdp
