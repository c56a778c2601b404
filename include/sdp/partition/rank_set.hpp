// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief A set of ranks, stored as sorted disjoint intervals.
///
/// Holder sets are cyclic windows, small random subsets, or all ranks. Intervals keep all three small, also with thousands of
/// workers, where one bit per rank would not.

#include <sdp/error.hpp>
#include <sdp/partition/detail/number_table.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

namespace sdp {

/// An ordered set of ranks. A regular value type.
class rank_set {
public:
    /// A half-open interval of consecutive ranks.
    struct interval {
        int begin = 0;
        int end = 0;
        friend bool operator==(const interval&, const interval&) = default;
        friend auto operator<=>(const interval&, const interval&) = default;
    };

    rank_set() = default;

    /// Makes a set of the given ranks, in any order; repeated ranks count once.
    /// @throws sdp::input_error on a negative rank
    explicit rank_set(std::vector<int> ranks)
    {
        std::sort(ranks.begin(), ranks.end());
        for (const int rank : ranks)
            append(rank);
    }
    rank_set(std::initializer_list<int> ranks)
        : rank_set(std::vector<int>(ranks))
    {
    }

    /// The set of ranks 0 … world−1.
    [[nodiscard]] static rank_set all(int world)
    {
        rank_set out;
        if (world > 0)
            out.intervals_.push_back({0, world});
        return out;
    }

    /// Number of ranks. Linear in the number of intervals.
    [[nodiscard]] int size() const noexcept
    {
        int count = 0;
        for (const auto& i : intervals_)
            count += i.end - i.begin;
        return count;
    }
    [[nodiscard]] bool empty() const noexcept { return intervals_.empty(); }

    [[nodiscard]] bool contains(int rank) const noexcept
    {
        const auto after
            = std::upper_bound(intervals_.begin(), intervals_.end(), rank, [](int r, const interval& i) { return r < i.begin; });
        return after != intervals_.begin() && rank < std::prev(after)->end;
    }

    /// True if every rank of `other` is in this set.
    [[nodiscard]] bool includes(const rank_set& other) const noexcept
    {
        auto at = intervals_.begin();
        for (const auto& i : other.intervals_) {
            at = ending_after(at, intervals_.end(), i.begin);
            if (at == intervals_.end() || at->begin > i.begin || at->end < i.end)
                return false;
        }
        return true;
    }

    /// True if some rank is in both sets.
    [[nodiscard]] bool intersects(const rank_set& other) const noexcept
    {
        auto i = intervals_.begin(), j = other.intervals_.begin();
        while (i != intervals_.end() && j != other.intervals_.end()) {
            if (i->begin < j->end && j->begin < i->end)
                return true;
            if (i->end <= j->begin)
                i = ending_after(i, intervals_.end(), j->begin);
            else
                j = ending_after(j, other.intervals_.end(), i->begin);
        }
        return false;
    }

    /// The ranks in ascending order.
    [[nodiscard]] std::vector<int> ranks() const
    {
        std::vector<int> out;
        out.reserve(static_cast<std::size_t>(size()));
        for (const auto& i : intervals_)
            for (int rank = i.begin; rank < i.end; ++rank)
                out.push_back(rank);
        return out;
    }

    [[nodiscard]] std::span<const interval> intervals() const noexcept { return intervals_; }

    [[nodiscard]] friend rank_set intersection(const rank_set& a, const rank_set& b)
    {
        rank_set out;
        for (auto i = a.intervals_.begin(), j = b.intervals_.begin(); i != a.intervals_.end() && j != b.intervals_.end();) {
            if (i->end <= j->begin) {
                i = ending_after(i, a.intervals_.end(), j->begin);
            } else if (j->end <= i->begin) {
                j = ending_after(j, b.intervals_.end(), i->begin);
            } else {
                out.intervals_.push_back({(std::max)(i->begin, j->begin), (std::min)(i->end, j->end)});
                (i->end < j->end ? i : j)++;
            }
        }
        return out;
    }

    /// The ranks of `a` that are not in `b`.
    [[nodiscard]] friend rank_set difference(const rank_set& a, const rank_set& b)
    {
        rank_set out;
        auto j = b.intervals_.begin();
        for (const auto& i : a.intervals_) {
            int begin = i.begin;
            while (j != b.intervals_.end() && j->end <= begin)
                ++j;
            for (auto k = j; k != b.intervals_.end() && k->begin < i.end; ++k) {
                if (begin < k->begin)
                    out.intervals_.push_back({begin, k->begin});
                begin = k->end;
            }
            if (begin < i.end)
                out.intervals_.push_back({begin, i.end});
        }
        return out;
    }

    /// Hash for tables: equal sets have equal hashes.
    [[nodiscard]] std::uint64_t hash() const noexcept
    {
        std::uint64_t out = intervals_.size();
        for (const auto& i : intervals_)
            out = detail::mix64(
                out ^ (std::uint64_t {static_cast<std::uint32_t>(i.begin)} << 32) ^ static_cast<std::uint32_t>(i.end));
        return out;
    }

    friend bool operator==(const rank_set&, const rank_set&) = default;
    friend auto operator<=>(const rank_set& a, const rank_set& b)
    {
        return std::lexicographical_compare_three_way(
            a.intervals_.begin(), a.intervals_.end(), b.intervals_.begin(), b.intervals_.end());
    }

private:
    using position = std::vector<interval>::const_iterator;

    /// The first interval from `at` on that ends after `rank`. Searches in growing steps, so that intersecting a large set with a
    /// small one does not visit all of the large one.
    [[nodiscard]] static position ending_after(position at, position end, int rank) noexcept
    {
        std::ptrdiff_t step = 1;
        while (step < end - at && at[step - 1].end <= rank) {
            at += step;
            step *= 2;
        }
        return std::partition_point(at, at + (std::min)(step, end - at), [rank](const interval& i) { return i.end <= rank; });
    }

    void append(int rank)
    {
        if (rank < 0)
            detail::fail("a rank set cannot hold rank ", rank, "; ranks start at 0");
        if (!intervals_.empty() && intervals_.back().end >= rank)
            intervals_.back().end = (std::max)(intervals_.back().end, rank + 1);
        else
            intervals_.push_back({rank, rank + 1});
    }

    std::vector<interval> intervals_;
};

} // namespace sdp
