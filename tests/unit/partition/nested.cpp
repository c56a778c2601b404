// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <unit/cases.hpp>

#include <sdp/masking/forward.hpp>
#include <sdp/partition/nested.hpp>

#include <doctest/doctest.h>

TEST_CASE("inner units go to a share of their block's holders, so every element has its k")
{
    unit::random r(4);
    for (std::uint64_t seed = 0; seed < 60; ++seed) {
        const int outer = r.between(1, 6), world = outer * r.between(1, 3), inner = r.between(1, outer);
        const int granularity = r.between(1, 3);
        const auto m = unit::llama(12, 7, r.between(1, 4), 3, 5);
        const auto a = sdp::nested_partition {.outer = {.coverage = static_cast<double>(outer) / world, .seed = seed},
            .inner = {.coverage = static_cast<double>(inner) / outer, .granularity = granularity, .seed = seed + 1}}(m, world);
        CAPTURE(seed);
        for (std::size_t b = 0; b < m.blocks().size(); ++b)
            REQUIRE(a.holders(sdp::block_id(b)).size() == outer);
        for (std::size_t g = 0; g < m.groups().size(); ++g) {
            // Heads lie in attention, neurons in feed; declared in the same order.
            const auto block = unit::mask_of(a.holders(sdp::block_id(g)));
            for (const auto& u : a.units(sdp::group_id(g))) {
                const auto holders = unit::mask_of(a.holders(u));
                REQUIRE(unit::count(holders) == inner);
                REQUIRE((holders & ~block) == 0);
                REQUIRE(u.end - u.begin <= granularity);
            }
        }
        REQUIRE_NOTHROW(sdp::residency(m, a, sdp::forward_masking {}));
    }
}

TEST_CASE("the outer level is the block policy's own, and a group outside the split blocks is split over everybody")
{
    sdp::model m;
    const auto inside = m.add_group("inside", 8), outside = m.add_group("outside", 8);
    const auto split = m.add_block("split"), whole = m.add_block("whole");
    const auto within_whole = m.add_group("within whole", 8);
    m.add_parameter("a", {8, 2}, {.within = split, .axes = {{0, inside}}});
    m.add_parameter("b", {8}, {.axes = {{0, outside}}});
    m.add_parameter("c", {8}, {.within = whole, .axes = {{0, within_whole}}});
    const sdp::block_partition outer {.coverage = 0.5, .seed = 6, .blocks = "split"};
    const auto a = sdp::nested_partition {.outer = outer, .inner = {.coverage = 0.5}}(m, 4);
    CHECK(a.holders(split) == outer(m, 4).holders(split));
    CHECK(!a.partitioned(whole));
    unit::mask seen = 0;
    for (const auto& u : a.units(inside))
        CHECK(a.holders(u).size() == 1);
    for (const auto& u : a.units(outside)) {
        CHECK(a.holders(u).size() == 2);
        seen |= unit::mask_of(a.holders(u));
    }
    for (const auto& u : a.units(within_whole))
        CHECK(a.holders(u).size() == 2);
    CHECK(seen == unit::everyone(4));
}

TEST_CASE("inner holders share the load of their block evenly")
{
    const auto m = unit::llama(16, 64, 4, 8, 5);
    const auto a = sdp::nested_partition {.outer = {.coverage = 0.5}, .inner = {.coverage = 0.5}}(m, 8);
    for (std::size_t g = 0; g < m.groups().size(); ++g) {
        std::vector<sdp::index_t> held(8, 0);
        for (const auto& u : a.units(sdp::group_id(g)))
            for (const int rank : a.holders(u).ranks())
                held[static_cast<std::size_t>(rank)] += u.end - u.begin;
        for (const int rank : a.holders(sdp::block_id(g)).ranks())
            CHECK(held[static_cast<std::size_t>(rank)] == m.groups()[g].neurons / 2);
    }
}

TEST_CASE("an inner coverage without a whole share of the block's holders is refused")
{
    const auto m = unit::llama(8, 6, 2, 2, 5);
    CHECK(unit::flaw([&] { (void)sdp::nested_partition {.outer = {.coverage = 0.5}, .inner = {.coverage = 0.25}}(m, 4); },
              {"0.25", "of 2 workers", "0.5 holders"})
        == "");
    CHECK(unit::flaw([&] { (void)sdp::nested_partition {.outer = {.coverage = 0.3}, .inner = {.coverage = 0.5}}(m, 4); }, {"0.3"})
        == "");
}
