// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief A set of ranks, kept as sorted disjoint intervals.
///
/// Holder sets are cyclic windows, small random subsets or "everybody"; intervals keep all three small, also with
/// thousands of workers, where a bit per rank would not.

#include <sdp/error.hpp>

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <span>
#include <vector>

namespace sdp {

/// An ordered set of ranks. A regular value type.
class rank_set {
public:
    /// A half-open stretch of consecutive ranks.
    struct interval {
        int begin = 0;
        int end = 0;
        friend bool operator==(const interval&, const interval&) = default;
        friend auto operator<=>(const interval&, const interval&) = default;
    };

    rank_set() = default;

    /// The given ranks, in any order; repeated ones count once.
    /// @throws sdp::error on a negative rank
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

    /// Ranks 0 … world−1.
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

    /// Every rank of `other` is in this set.
    [[nodiscard]] bool includes(const rank_set& other) const { return intersection(*this, other) == other; }

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
            const int begin = std::max(i->begin, j->begin);
            const int end = std::min(i->end, j->end);
            if (begin < end)
                out.intervals_.push_back({begin, end});
            (i->end < j->end ? i : j)++;
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

    friend bool operator==(const rank_set&, const rank_set&) = default;
    friend auto operator<=>(const rank_set& a, const rank_set& b)
    {
        return std::lexicographical_compare_three_way(
            a.intervals_.begin(), a.intervals_.end(), b.intervals_.begin(), b.intervals_.end());
    }

private:
    void append(int rank)
    {
        if (rank < 0)
            detail::fail("a rank set cannot hold rank ", rank, "; ranks start at 0");
        if (!intervals_.empty() && intervals_.back().end >= rank)
            intervals_.back().end = std::max(intervals_.back().end, rank + 1);
        else
            intervals_.push_back({rank, rank + 1});
    }

    std::vector<interval> intervals_;
};

} // namespace sdp
