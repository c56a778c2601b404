// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <unit/cases.hpp>

#include <sdp/partition/neuron.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

namespace {

sdp::model several_groups(unit::random& r)
{
    sdp::model m;
    for (int g = r.between(1, 4); g > 0; --g) {
        const auto name = std::to_string(g);
        const auto id = m.add_group("group" + name, r.between(1, 40));
        m.add_parameter("weight" + name, {m[id].neurons, r.between(1, 9)}, {.axes = {{0, id}}});
    }
    return m;
}

} // namespace

TEST_CASE("each unit has exactly k holders, and the units cover the group in runs of the granularity")
{
    for (std::uint64_t seed = 0; seed < 600; ++seed) {
        unit::random r(seed);
        const auto m = several_groups(r);
        const int world = r.between(1, 12), k = r.between(1, world), granularity = r.between(1, 6);
        const auto a = sdp::neuron_partition {
            .coverage = static_cast<double>(k) / world, .granularity = granularity, .seed = seed}(m, world);
        std::size_t units = 0;
        for (std::size_t g = 0; g < m.groups().size(); ++g)
            units += a.units(sdp::group_id(g)).size();
        // Twice the holdings that a tree needs. With fewer, joining the workers may have to exchange unlike units.
        const bool plenty = units * static_cast<std::size_t>(k - 1) >= 2 * static_cast<std::size_t>(world - 1);
        CAPTURE(seed);
        for (std::size_t g = 0; g < m.groups().size(); ++g) {
            const auto id = sdp::group_id(g);
            REQUIRE(a.partitioned(id));
            sdp::index_t next = 0;
            std::vector<sdp::index_t> held(static_cast<std::size_t>(world), 0);
            for (const auto& u : a.units(id)) {
                REQUIRE(u.begin == next);
                REQUIRE(u.end == std::min<sdp::index_t>(next + granularity, m[id].neurons));
                REQUIRE(a.holders(u).size() == k);
                for (const int rank : a.holders(u).ranks()) {
                    REQUIRE(rank < world);
                    held[static_cast<std::size_t>(rank)] += u.end - u.begin;
                }
                next = u.end;
            }
            REQUIRE(next == m[id].neurons);
            const auto [least, most] = std::minmax_element(held.begin(), held.end());
            REQUIRE(*most - *least <= (plenty || k == 1 ? granularity : 2 * granularity)); // within one unit
        }
        if (k >= 2 && units * static_cast<std::size_t>(k - 1) + 1 >= static_cast<std::size_t>(world))
            REQUIRE(unit::connected(unit::unit_masks(a), world));
    }
}

TEST_CASE("what one group cannot balance, the next one does")
{
    sdp::model m;
    for (int g = 0; g < 12; ++g) {
        const auto id = m.add_group("group" + std::to_string(g), 3);
        m.add_parameter("weight" + std::to_string(g), {3, 5}, {.axes = {{0, id}}});
    }
    const auto a = sdp::neuron_partition {.coverage = 0.25, .seed = 1}(m, 4);
    std::vector<int> held(4, 0);
    for (const auto u : unit::unit_masks(a))
        for (int rank = 0; rank < 4; ++rank)
            held[static_cast<std::size_t>(rank)] += unit::has(u, rank) ? 1 : 0;
    CHECK(held == std::vector {9, 9, 9, 9});
}

TEST_CASE("units with the same holders are neighbours")
{
    const auto m = unit::one_group(512);
    const auto a = sdp::neuron_partition {.coverage = 0.5, .seed = 9}(m, 4);
    std::set<unit::mask> distinct;
    std::size_t runs = 0;
    unit::mask before = 0;
    for (const auto u : unit::unit_masks(a)) {
        runs += u != before ? 1 : 0;
        distinct.insert(u);
        before = u;
    }
    CHECK(runs == distinct.size());
    CHECK(distinct.size() <= 6); // 4 over 2
}

TEST_CASE("only the selected groups are split")
{
    const auto m = unit::llama(8, 6, 3, 2, 5);
    const auto a = sdp::neuron_partition {.coverage = 0.5, .groups = "*.neurons"}(m, 2);
    for (std::size_t g = 0; g < m.groups().size(); ++g)
        CHECK(a.partitioned(sdp::group_id(g)) == m.groups()[g].name.ends_with(".neurons"));
    for (std::size_t b = 0; b < m.blocks().size(); ++b)
        CHECK(!a.partitioned(sdp::block_id(b)));
}

TEST_CASE("coverage 1 leaves every unit with everybody, and one worker holds all")
{
    const auto m = unit::llama(8, 6, 3, 2, 5);
    for (const int world : {1, 2, 5})
        for (const auto u : unit::unit_masks(sdp::neuron_partition {.coverage = 1}(m, world)))
            CHECK(u == unit::everyone(world));
}

TEST_CASE("a seed means the same holders on every platform, another seed others")
{
    const auto m = unit::llama(64, 96, 3, 8, 11);
    const auto print = [&](double coverage, sdp::index_t granularity, std::uint64_t seed, int world) {
        return unit::fingerprint(
            sdp::neuron_partition {.coverage = coverage, .granularity = granularity, .seed = seed}(m, world));
    };
    CHECK(print(0.5, 1, 0, 4) == print(0.5, 1, 0, 4));
    CHECK(print(0.5, 1, 0, 4) != print(0.5, 1, 1, 4));
    CHECK(print(0.5, 1, 0, 4) == 648411142192049389U);
    CHECK(print(0.25, 3, 1, 8) == 3238504361804846061U);
    CHECK(print(0.375, 5, 0xFFFFFFFFFFFFFFFF, 8) == 16638950181259417961U);
    CHECK(print(2.0 / 9, 1, 42, 9) == 4493794256634711048U);
}
