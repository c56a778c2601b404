// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The residency: storers and trainers of every element, derived from an assignment and a masking regime.

#include <sdp/masking/detail/resident_classes.hpp>
#include <sdp/masking/regime.hpp>
#include <sdp/partition/assignment.hpp>

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace sdp {

/// Storers and trainers of every element of a model. A plain value; all later stages derive from it alone.
class residency {
public:
    /// A longest run of a group's neurons with the same residents.
    struct run {
        index_t begin = 0;
        index_t end = 0;
        std::uint32_t residents = 0; ///< number of the sharing class
        friend bool operator==(const run&, const run&) = default;
    };

    /// @throws sdp::input_error if the regime names ranks outside the world, lets a worker train a unit that it does not store,
    /// or
    ///         leaves an element without a trainer; the last error names the parameter
    template <masking_regime R>
    residency(const model& m, const assignment& a, const R& regime)
        : world_(a.world())
        , classes_(a.world())
    {
        if (a.group_count() != m.groups().size() || a.block_count() != m.blocks().size())
            detail::fail("the assignment has ", a.group_count(), " neuron groups and ", a.block_count(), " blocks, the model ",
                m.groups().size(), " and ", m.blocks().size(), "; expected an assignment of this model");
        const auto everyone = rank_set::all(world_);
        const auto classify = [&](std::string_view name, bool is_block, const rank_set& holders) {
            const unit_view unit {name, is_block, holders, world_};
            residents who {regime.stored_by(unit), regime.trained_by(unit)};
            const std::string_view kind = is_block ? "block '" : "neuron group '";
            if (!everyone.includes(who.stored))
                detail::fail(kind, name, "' is stored by ranks ", who.stored.ranks(), ", but the world has ", world_, " workers");
            if (!who.stored.includes(who.trained))
                detail::fail(kind, name, "' is trained by ranks ", who.trained.ranks(), " but stored only by ",
                    who.stored.ranks(), "; who trains must also store");
            if (who.trained.empty())
                detail::fail(kind, name, "' is trained by nobody; expected at least one rank");
            return classes_.add(who);
        };
        // Calls the regime, a pure function, once for each holder set of a group, or once for each holder set of all that is
        // split.
        struct answer {
            std::uint32_t question = 0;
            std::uint32_t number = 0;
        };
        std::vector<answer> answers(a.holder_set_count());
        std::uint32_t question = 1;
        const auto ask = [&](std::string_view name, bool is_block, std::uint32_t holders) {
            auto& known = answers[holders];
            if (known.question != question)
                known = {question, classify(name, is_block, a.holders(holders))};
            return known.number;
        };
        const auto next_name = [&] { question += by_holders_alone<R> ? 0U : 1U; };
        for (std::size_t g = 0; g < a.group_count(); ++g, next_name()) {
            auto& runs = groups_.emplace_back();
            runs.reserve(a.units(group_id(g)).size());
            for (const auto& unit : a.units(group_id(g))) {
                const auto number = ask(m.groups()[g].name, false, unit.holders);
                if (!runs.empty() && runs.back().residents == number)
                    runs.back().end = unit.end;
                else
                    runs.push_back({unit.begin, unit.end, number});
            }
        }
        for (std::size_t b = 0; b < a.block_count(); ++b, next_name())
            blocks_.push_back(ask(m.blocks()[b].name, true, a.holders_number(block_id(b))));
        check_every_element_is_trained(m);
    }

    [[nodiscard]] int world() const noexcept { return world_; }
    [[nodiscard]] std::span<const run> runs(group_id id) const noexcept { return groups_[index_of(id)]; }
    [[nodiscard]] std::uint32_t of(block_id id) const noexcept { return blocks_[index_of(id)]; }
    [[nodiscard]] const residents& operator[](std::uint32_t number) const noexcept { return classes_[number]; }

    /// The sharing classes so far. A consumer continues this table in one of its own, to which it adds intersections.
    [[nodiscard]] const detail::resident_classes& classes() const noexcept { return classes_; }

private:
    /// Parameters with the same block and groups have the same classes and are checked once, and of a group only its distinct
    /// classes are checked. The time therefore does not grow with runs × parameters.
    void check_every_element_is_trained(const model& m) const;

    int world_;
    detail::resident_classes classes_;
    std::vector<std::vector<run>> groups_;
    std::vector<std::uint32_t> blocks_;
};

} // namespace sdp

#ifndef SDP_SEPARATE_COMPILATION
#include <sdp/src/masking/residency.ipp>
#endif
