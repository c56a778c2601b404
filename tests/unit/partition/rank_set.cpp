// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <unit/cases.hpp>

#include <sdp/partition/rank_set.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

TEST_CASE("a rank set behaves as a set of integers")
{
    unit::random r(1);
    for (int i = 0; i < 3000; ++i) {
        const auto draw = [&] {
            std::vector<int> out;
            const int bound = r.between(1, 40);
            for (int n = r.below(24); n > 0; --n)
                out.push_back(r.below(bound)); // unordered, with repetitions
            return out;
        };
        const auto x = draw(), y = draw();
        const std::set<int> s(x.begin(), x.end()), t(y.begin(), y.end());
        const sdp::rank_set a(x), b(y);
        const auto list = [](const std::set<int>& from) { return std::vector<int>(from.begin(), from.end()); };

        REQUIRE(a.ranks() == list(s));
        REQUIRE(a.size() == static_cast<int>(s.size()));
        REQUIRE(a.empty() == s.empty());
        for (int rank = -2; rank < 44; ++rank)
            REQUIRE(a.contains(rank) == (s.count(rank) == 1));
        std::set<int> both, without;
        std::set_intersection(s.begin(), s.end(), t.begin(), t.end(), std::inserter(both, both.end()));
        std::set_difference(s.begin(), s.end(), t.begin(), t.end(), std::inserter(without, without.end()));
        REQUIRE(intersection(a, b).ranks() == list(both));
        REQUIRE(difference(a, b).ranks() == list(without));
        // Equal sets have equal representations, however they came about.
        REQUIRE(intersection(a, b) == sdp::rank_set(list(both)));
        REQUIRE(difference(a, b) == sdp::rank_set(list(without)));
        REQUIRE(a.includes(b) == std::includes(s.begin(), s.end(), t.begin(), t.end()));
        REQUIRE(a.intersects(b) == !both.empty());
        REQUIRE((a == b) == (s == t));
        REQUIRE((a != b || a.hash() == b.hash()));
        REQUIRE(((a < b) || (b < a)) == (s != t));
        REQUIRE(!((a < b) && (b < a)));
        for (std::size_t n = 1; n < a.intervals().size(); ++n)
            REQUIRE(a.intervals()[n - 1].end < a.intervals()[n].begin); // maximal stretches
    }
}

TEST_CASE("a small set meets a large one as it would meet a small one")
{
    std::vector<int> even;
    for (int rank = 0; rank < 40'000; rank += 2)
        even.push_back(rank);
    const sdp::rank_set large(even);
    for (int at = 0; at < 40'000; at += 997) {
        const sdp::rank_set small {at, at + 1, at + 501, 39'998};
        std::vector<int> both;
        for (const int rank : small.ranks())
            if (rank % 2 == 0 && rank < 40'000)
                both.push_back(rank);
        REQUIRE(intersection(large, small) == sdp::rank_set(both));
        REQUIRE(intersection(small, large) == sdp::rank_set(both));
        REQUIRE(large.includes(sdp::rank_set(both)));
        REQUIRE(!large.includes(small));
        REQUIRE(large.intersects(small));
        REQUIRE(!large.intersects({at % 2 + at + 1, 39'999}));
    }
}

TEST_CASE("everybody is one interval")
{
    const auto all = sdp::rank_set::all(100'000);
    CHECK(all.intervals().size() == 1);
    CHECK(all.size() == 100'000);
    CHECK(all.contains(99'999));
    CHECK(!all.contains(100'000));
    CHECK(sdp::rank_set::all(3) == sdp::rank_set {2, 0, 1});
    CHECK(sdp::rank_set::all(0).empty());
    CHECK(sdp::rank_set::all(-1).empty());
}

TEST_CASE("a negative rank is refused")
{
    CHECK(unit::flaw([] { sdp::rank_set {3, -2}; }, {"-2", "start at 0"}) == "");
}
