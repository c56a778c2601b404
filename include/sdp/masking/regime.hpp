// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief What a masking regime is, and the residency that follows from one: who stores and who trains what.
///
/// | regime             | stored by | trained by | prefer it when                                                        |
/// |--------------------|-----------|------------|-----------------------------------------------------------------------|
/// | `forward_masking`  | holders   | holders    | memory, traffic and compute should all shrink; acts as a regulariser  |
/// | `backward_masking` | all       | holders    | gradients must stay unbiased; saves gradient and optimizer memory     |

#include <sdp/assignment.hpp>

#include <concepts>
#include <cstdint>
#include <string_view>
#include <unordered_map>

namespace sdp {

/// What a regime is told about a unit.
struct unit_view {
    std::string_view name; ///< of the neuron group or the block
    bool is_block = false;
    const rank_set& holders;
    int world = 1;
};

/// Decides for a unit which workers store its value, and which train it (gradient and optimizer state).
///
/// | expression        | result     | meaning                                       |
/// |-------------------|------------|-----------------------------------------------|
/// | `r.stored_by(u)`  | `rank_set` | who keeps the unit's value for its forward    |
/// | `r.trained_by(u)` | `rank_set` | who computes its gradient and applies updates |
///
/// Semantics the compiler cannot check: a pure function of `u`; who trains also stores; somebody trains. An element that
/// lies in several units (a block and a neuron group, two groups) is stored and trained by who does so for all of them.
///
/// @snippet examples/own_regime.cpp regime
template <class R>
concept masking_regime = requires(const R& r, const unit_view& u)
{
    {
        r.stored_by(u)
        } -> std::convertible_to<rank_set>;
    {
        r.trained_by(u)
        } -> std::convertible_to<rank_set>;
};

/// The two rank sets that decide everything about an element.
struct residents {
    rank_set stored;
    rank_set trained;
    friend bool operator==(const residents&, const residents&) = default;
};

namespace detail {

    /// Distinct residents under small numbers, with their intersections remembered.
    class class_table {
    public:
        std::uint32_t add(const rank_set& stored, const rank_set& trained)
        {
            const auto key = pair(sets_.add(stored), sets_.add(trained));
            const auto [at, added] = numbers_.emplace(key, static_cast<std::uint32_t>(classes_.size()));
            if (added)
                classes_.push_back({stored, trained});
            return at->second;
        }

        /// The class of an element that lies in units of both classes.
        std::uint32_t intersect(std::uint32_t a, std::uint32_t b)
        {
            if (a == b)
                return a;
            const auto [at, added] = met_.emplace(pair(std::min(a, b), std::max(a, b)), 0U);
            if (added) {
                const auto number = add(
                    intersection(classes_[a].stored, classes_[b].stored), intersection(classes_[a].trained, classes_[b].trained));
                met_[pair(std::min(a, b), std::max(a, b))] = number;
                return number;
            }
            return at->second;
        }

        [[nodiscard]] const residents& operator[](std::uint32_t number) const noexcept { return classes_[number]; }
        [[nodiscard]] std::size_t size() const noexcept { return classes_.size(); }

    private:
        [[nodiscard]] static std::uint64_t pair(std::uint32_t a, std::uint32_t b) noexcept
        {
            return (std::uint64_t {a} << 32) | b;
        }

        rank_set_table sets_;
        std::unordered_map<std::uint64_t, std::uint32_t> numbers_;
        std::unordered_map<std::uint64_t, std::uint32_t> met_;
        std::vector<residents> classes_;
    };

} // namespace detail

/// Who stores and who trains every element of a model. A plain value; everything after it derives from it alone.
class residency {
public:
    /// A maximal stretch of a group's neurons with the same residents.
    struct run {
        index_t begin = 0;
        index_t end = 0;
        std::uint32_t residents = 0; ///< class number
        friend bool operator==(const run&, const run&) = default;
    };

    /// @throws sdp::error if the regime names ranks outside the world, lets a worker train what it does not store, or if an
    ///         element is trained by nobody (for which the parameter is named)
    template <masking_regime R>
    residency(const model& m, const assignment& a, const R& regime)
        : world_(a.world())
    {
        if (a.group_count() != m.groups().size() || a.block_count() != m.blocks().size())
            detail::fail("the assignment has ", a.group_count(), " neuron groups and ", a.block_count(), " blocks, the model ",
                m.groups().size(), " and ", m.blocks().size(), "; expected an assignment of this model");
        const auto everyone = rank_set::all(world_);
        classes_.add(everyone, everyone); // number 0: pinned
        const auto classify = [&](std::string_view name, bool is_block, const rank_set& holders) {
            const unit_view unit {name, is_block, holders, world_};
            const rank_set stored = regime.stored_by(unit);
            const rank_set trained = regime.trained_by(unit);
            const std::string_view kind = is_block ? "block '" : "neuron group '";
            if (!everyone.includes(stored))
                detail::fail(kind, name, "' is stored by ranks ", stored.ranks(), ", but the world has ", world_, " workers");
            if (!stored.includes(trained))
                detail::fail(kind, name, "' is trained by ranks ", trained.ranks(), " but stored only by ", stored.ranks(),
                    "; who trains must also store");
            if (trained.empty())
                detail::fail(kind, name, "' is trained by nobody; expected at least one rank");
            return classes_.add(stored, trained);
        };
        for (std::size_t g = 0; g < a.group_count(); ++g) {
            auto& runs = groups_.emplace_back();
            for (const auto& unit : a.units(group_id(g))) {
                const auto number = classify(m.groups()[g].name, false, a.holders(unit));
                if (!runs.empty() && runs.back().residents == number)
                    runs.back().end = unit.end;
                else
                    runs.push_back({unit.begin, unit.end, number});
            }
        }
        for (std::size_t b = 0; b < a.block_count(); ++b)
            blocks_.push_back(classify(m.blocks()[b].name, true, a.holders(block_id(b))));
        check_every_element_is_trained(m);
    }

    [[nodiscard]] int world() const noexcept { return world_; }
    [[nodiscard]] std::span<const run> runs(group_id id) const noexcept { return groups_[index_of(id)]; }
    [[nodiscard]] std::uint32_t of(block_id id) const noexcept { return blocks_[index_of(id)]; }
    [[nodiscard]] const residents& operator[](std::uint32_t number) const noexcept { return classes_[number]; }

    /// The classes met so far; a consumer copies the table and lets it grow by intersections.
    [[nodiscard]] const detail::class_table& classes() const noexcept { return classes_; }

private:
    void check_every_element_is_trained(const model& m) const
    {
        auto table = classes_;
        for (const auto& p : m.parameters()) {
            std::vector<std::uint32_t> met {p.where.within ? of(*p.where.within) : 0U};
            for (const auto& axis : p.where.axes) {
                std::vector<std::uint32_t> next;
                for (const auto& r : runs(axis.group))
                    for (const auto number : met)
                        next.push_back(table.intersect(number, r.residents));
                std::sort(next.begin(), next.end());
                next.erase(std::unique(next.begin(), next.end()), next.end());
                met = std::move(next);
            }
            for (const auto number : met)
                if (table[number].trained.empty())
                    detail::fail("parameter '", p.name,
                        "' has elements that nobody trains: no rank holds all of the units they "
                        "lie in; expected at least one holder for every element");
        }
    }

    int world_;
    detail::class_table classes_;
    std::vector<std::vector<run>> groups_;
    std::vector<std::uint32_t> blocks_;
};

} // namespace sdp
