// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Sharing classes: distinct residents under small numbers, with a cache of their intersections.

#include <sdp/masking/residents.hpp>
#include <sdp/partition/detail/number_table.hpp>

#include <cstdint>
#include <optional>

namespace sdp::detail {

/// Numbers distinct residents and caches their intersections. Number 0 is the pinned class.
class resident_classes {
public:
    static constexpr std::uint32_t pinned = 0;

    explicit resident_classes(int world) { add({rank_set::all(world), rank_set::all(world)}); }

    /// Continues a table that outlives this one, without copying it.
    explicit resident_classes(const resident_classes* base)
        : base_(base)
        , before_(static_cast<std::uint32_t>(base->size()))
    {
    }

    std::uint32_t add(const residents& who)
    {
        if (base_ != nullptr)
            if (const auto known = base_->find(who))
                return *known;
        return before_ + own_.add(who);
    }

    /// The class of an element that lies in units of both classes.
    std::uint32_t intersect(std::uint32_t a, std::uint32_t b)
    {
        if (a == b || b == pinned)
            return a;
        if (a == pinned)
            return b;
        const auto [number, added] = met_.emplace(a, b);
        if (added) {
            const auto &x = (*this)[a], &y = (*this)[b];
            *number = add({intersection(x.stored, y.stored), intersection(x.trained, y.trained)});
        }
        return *number;
    }

    [[nodiscard]] const residents& operator[](std::uint32_t number) const noexcept
    {
        return number < before_ ? (*base_)[number] : own_[number - before_];
    }
    [[nodiscard]] std::size_t size() const noexcept { return before_ + own_.size(); }

private:
    [[nodiscard]] std::optional<std::uint32_t> find(const residents& who) const
    {
        if (base_ != nullptr)
            if (const auto known = base_->find(who))
                return known;
        const auto own = own_.find(who);
        return own ? std::optional(before_ + *own) : std::nullopt;
    }

    const resident_classes* base_ = nullptr;
    std::uint32_t before_ = 0; ///< number of classes in the base when this table began
    number_table<residents> own_;
    pair_table met_;
};

} // namespace sdp::detail
