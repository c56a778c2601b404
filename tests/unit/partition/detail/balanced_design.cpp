// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <unit/cases.hpp>

#include <sdp/partition/detail/balanced_design.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <map>

using sdp::detail::design_unit;

TEST_CASE("portable random numbers are uniform, and the same everywhere")
{
    sdp::detail::portable_random r(5489);
    // The standard fixes the ten thousandth number of a default-seeded mt19937_64.
    for (int i = 1; i < 10'000; ++i)
        (void)r.below(1);
    CHECK(r.below(std::uint64_t {1} << 63) == (9981545732273789042ULL & ((std::uint64_t {1} << 63) - 1)));

    sdp::detail::portable_random fair(1);
    std::map<std::uint64_t, int> seen;
    for (int i = 0; i < 60'000; ++i)
        ++seen[fair.below(6)];
    CHECK(seen.size() == 6);
    for (const auto& [value, times] : seen)
        CHECK(std::abs(times - 10'000) < 500); // five standard deviations

    std::map<std::vector<int>, int> orders;
    for (int i = 0; i < 24'000; ++i) {
        std::vector<int> values {0, 1, 2, 3};
        fair.shuffle(values);
        ++orders[values];
    }
    CHECK(orders.size() == 24);
    for (const auto& [order, times] : orders)
        CHECK(std::abs(times - 1000) < 160);
}

TEST_CASE("the first k are the least by the order given, chance deciding between equals")
{
    sdp::detail::portable_random r(2);
    const std::vector<int> candidates {1, 4, 5, 8, 9};
    const std::map<int, int> load {{1, 3}, {4, 0}, {5, 3}, {8, 1}, {9, 3}};
    std::map<std::vector<int>, int> seen;
    for (int i = 0; i < 3000; ++i)
        ++seen[sdp::detail::choose_first(candidates, 3, r, [&](int a, int b) { return load.at(a) < load.at(b); })];
    CHECK(seen.size() == 3);
    for (const auto& expected : {std::vector {1, 4, 8}, std::vector {4, 5, 8}, std::vector {4, 8, 9}})
        CHECK(std::abs(seen[expected] - 1000) < 160);
    CHECK(sdp::detail::choose_first(candidates, 5, r, [](int, int) { return false; }) == candidates);
}

TEST_CASE("separate parts are joined whenever there are holdings enough, and each unit keeps its number of holders")
{
    int joined = 0;
    for (std::uint64_t seed = 0; seed < 4000; ++seed) {
        unit::random r(seed);
        const int world = r.between(1, 8), k = r.between(1, world), count = r.between(1, 8);
        const auto everybody = sdp::rank_set::all(world).ranks();
        std::vector<design_unit> units;
        const bool few = r.chance(50); // whole parts that nobody else touches
        for (int u = 0; u < count; ++u) {
            std::vector<int> holders = everybody;
            for (std::size_t i = holders.size(); i > 1; --i)
                std::swap(holders[i - 1], holders[static_cast<std::size_t>(r.below(static_cast<int>(i)))]);
            if (few)
                std::rotate(holders.begin(), std::find(holders.begin(), holders.end(), u % 2 * (world / 2)), holders.end()),
                    std::sort(holders.begin(), holders.end(), [&](int a, int b) {
                        return (a + world - u % 2 * (world / 2)) % world < (b + world - u % 2 * (world / 2)) % world;
                    });
            holders.resize(static_cast<std::size_t>(k));
            std::sort(holders.begin(), holders.end());
            units.push_back({static_cast<double>(r.between(1, 3)), static_cast<std::size_t>(r.below(2)), holders, &everybody});
        }
        const auto masks = [&] {
            std::vector<unit::mask> out;
            for (const auto& u : units)
                out.push_back(unit::mask_of(u.holders));
            return out;
        };
        const bool before = unit::connected(masks(), world);
        REQUIRE(sdp::detail::connected(units, world) == before);
        const auto untouched = masks();
        sdp::detail::connect(units, world);
        CAPTURE(seed);
        for (const auto m : masks())
            REQUIRE(unit::count(m) == k);
        for (const auto& u : units)
            REQUIRE(std::is_sorted(u.holders.begin(), u.holders.end()));
        if (before)
            REQUIRE(masks() == untouched);
        if (count * (k - 1) >= world - 1) {
            REQUIRE(unit::connected(masks(), world));
            joined += before ? 0 : 1;
        }
    }
    CHECK(joined > 300); // the cases that ask for work are not rare
}

TEST_CASE("joining respects who may hold a unit")
{
    for (std::uint64_t seed = 0; seed < 2000; ++seed) {
        unit::random r(seed);
        const int world = r.between(2, 7);
        std::vector<std::vector<int>> candidates(static_cast<std::size_t>(r.between(1, 4)));
        for (auto& c : candidates)
            while (c.size() < 2)
                c = unit::set_of(static_cast<unit::mask>(r.between(1, (1 << world) - 1))).ranks();
        std::vector<design_unit> units;
        std::vector<std::size_t> sizes;
        for (int u = r.between(1, 7); u > 0; --u) {
            const auto& from = candidates[static_cast<std::size_t>(r.below(static_cast<int>(candidates.size())))];
            auto holders = from;
            for (std::size_t i = holders.size(); i > 1; --i)
                std::swap(holders[i - 1], holders[static_cast<std::size_t>(r.below(static_cast<int>(i)))]);
            holders.resize(static_cast<std::size_t>(r.between(1, static_cast<int>(holders.size()))));
            std::sort(holders.begin(), holders.end());
            sizes.push_back(holders.size());
            units.push_back({1, 0, holders, &from});
        }
        sdp::detail::connect(units, world);
        for (std::size_t u = 0; u < units.size(); ++u) {
            REQUIRE(static_cast<std::size_t>(unit::count(unit::mask_of(units[u].holders))) == sizes[u]);
            REQUIRE((unit::mask_of(units[u].holders) & ~unit::mask_of(*units[u].candidates)) == 0);
        }
    }
}
