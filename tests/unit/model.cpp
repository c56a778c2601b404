// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "cases.hpp"

#include <sdp/model.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

TEST_CASE("known architectures have their known sizes")
{
    CHECK(unit::llama(512, 1376, 8, 8, 32000).size() == 58'073'600);
    CHECK(unit::llama(768, 2048, 12, 12, 32000).size() == 134'105'856);
    CHECK(unit::llama(2048, 5461, 24, 32, 32000).size() == 1'339'082'752);
    CHECK(unit::resnet18().size() == 11'173'962);

    const auto m = unit::resnet18();
    const double expected[] = {73'984, 73'984, 230'144, 295'424, 919'040, 1'180'672, 3'673'088, 4'720'640};
    REQUIRE(m.blocks().size() == 8);
    for (std::size_t b = 0; b < 8; ++b)
        CHECK(m.cost(sdp::block_id(b)) == expected[b]);
    CHECK(m.maskable_size() == 11'173'962 - 1'856 - 5'130);
    CHECK_NOTHROW(m.validate());
}

TEST_CASE("an MLP, grouped-query attention and a gated MLP can be said")
{
    sdp::model m;
    const auto hidden = m.add_group("hidden", 6);
    const auto kv_heads = m.add_group("kv heads", 2);
    const auto first = m.add_parameter("first", {6, 4}, {.axes = {{0, hidden}}});
    m.add_parameter("first.bias", {6}, {.axes = {{0, hidden}}});
    m.add_parameter("second", {4, 6}, {.axes = {{1, hidden}}});
    // Two query heads of 5 elements go with each key-value head.
    const auto query = m.add_parameter("query", {20, 4}, {.axes = {{0, kv_heads}}});
    const auto key = m.add_parameter("key", {10, 4}, {.axes = {{0, kv_heads, 5}}});
    m.validate();

    CHECK(m[first].where.axes[0].elements_per_neuron == 1);
    CHECK(m[query].where.axes[0].elements_per_neuron == 10);
    CHECK(m[key].where.axes[0].elements_per_neuron == 5);
    CHECK(m.cost_per_neuron(hidden) == 4 + 1 + 4);
    CHECK(m.cost_per_neuron(kv_heads) == 10 * 4 + 5 * 4);
    CHECK(m.size() == 24 + 6 + 24 + 80 + 40);
    CHECK(m.maskable_size() == m.size());
    CHECK(m.find("query") == query);
    CHECK(m[query].name == "query");
    CHECK(m.groups().size() == 2);
}

TEST_CASE("rows and columns name the axis of a matrix")
{
    sdp::model m;
    const auto hidden = m.add_group("hidden", 6), heads = m.add_group("heads", 2);
    const auto up = m.add_parameter("up", {6, 4}, {.axes = {rows(hidden)}});
    const auto down = m.add_parameter("down", {4, 6}, {.axes = {columns(hidden)}});
    const auto key = m.add_parameter("key", {10, 6}, {.axes = {rows(heads, 5), columns(hidden, 1)}});
    const auto axis = [&](sdp::parameter_id id, std::size_t i) { return m[id].where.axes[i]; };
    CHECK((axis(up, 0).axis == 0 && axis(up, 0).group == hidden && axis(up, 0).elements_per_neuron == 1));
    CHECK((axis(down, 0).axis == 1 && axis(down, 0).group == hidden && axis(down, 0).elements_per_neuron == 1));
    CHECK((axis(key, 0).axis == 0 && axis(key, 0).group == heads && axis(key, 0).elements_per_neuron == 5));
    CHECK((axis(key, 1).axis == 1 && axis(key, 1).group == hidden));
    CHECK(unit::flaw([&] { m.add_parameter("bias", {6}, {.axes = {columns(hidden)}}); }, {"'bias'", "[6]", "no axis 1"}) == "");
}

TEST_CASE("a fused weight is one parameter, whose fused parts have all neurons each")
{
    sdp::model m;
    const auto kv_heads = m.add_group("kv heads", 2), hidden = m.add_group("hidden", 3);
    const auto qkv = m.add_parameter("qkv", {2 * 20, 6}, {.axes = {rows(kv_heads, {10, 5, 5})}}); // two queries per key and value
    const auto gated = m.add_parameter("gated", {4, 6}, {.axes = {columns(hidden, {1, 1})}});
    const auto plain = m.add_parameter("plain", {6, 4}, {.axes = {{.axis = 0, .group = hidden, .fused = {2}}}});
    const auto axis = [&](sdp::parameter_id id) { return m[id].where.axes[0]; };
    CHECK((axis(qkv).elements_per_neuron == 20 && axis(qkv).fused == std::vector<sdp::index_t> {10, 5, 5}));
    CHECK((axis(gated).axis == 1 && axis(gated).elements_per_neuron == 2));
    CHECK((axis(plain).elements_per_neuron == 2 && axis(plain).fused.empty()));
    CHECK(m.cost_per_neuron(kv_heads) == 20 * 6);

    const auto refused = [&](const sdp::neuron_axis& wrong, std::initializer_list<std::string_view> words) {
        CHECK(unit::flaw([&] { m.add_parameter("w", {12, 4}, {.axes = {wrong}}); }, words) == "");
    };
    refused(rows(hidden, {2, 1}), {"'w'", "axis 0", "extent 12", "[2, 1]", "3 neurons", "'hidden'", "add up"});
    refused(rows(hidden, {2, 3}), {"extent 12", "[2, 3]"});
    refused(rows(hidden, {4, 0}), {"[4, 0]", "at least 1"});
    refused(rows(hidden, {5, -1}), {"[5, -1]", "at least 1"});
    refused({0, hidden, 3, {2, 2}}, {"3 elements per neuron in all", "[2, 2]", "add up"});
    constexpr auto huge = std::numeric_limits<sdp::index_t>::max();
    refused(rows(hidden, {huge, huge, 6}), {"extent 12", "add up"});
    CHECK_NOTHROW(m.add_parameter("w", {12, 4}, {.axes = {{0, hidden, 4, {2, 2}}}}));
}

TEST_CASE("costs are counted or declared")
{
    sdp::model m;
    const auto counted = m.add_group("counted", 4), declared = m.add_group("declared", 4, 2.5);
    const auto light = m.add_block("light"), heavy = m.add_block("heavy", 1e9);
    m.add_parameter("a", {4, 4, 3}, {.within = light, .axes = {{0, counted}, {1, declared}}});
    m.add_parameter("b", {7}, {.within = heavy});
    CHECK(m.cost_per_neuron(counted) == 12);
    CHECK(m.cost_per_neuron(declared) == 2.5);
    CHECK(m.cost(light) == 48);
    CHECK(m.cost(heavy) == 1e9);
}

TEST_CASE("a group's enclosing block is the one that all its parameters lie in")
{
    sdp::model m;
    const auto one = m.add_block("one"), two = m.add_block("two");
    const auto inside = m.add_group("inside", 2), across = m.add_group("across", 2), outside = m.add_group("outside", 2),
               halfway = m.add_group("halfway", 2);
    m.add_parameter("a", {2, 2}, {.within = one, .axes = {{0, inside}, {1, across}}});
    m.add_parameter("b", {2}, {.within = one, .axes = {{0, inside}}});
    m.add_parameter("c", {2}, {.within = two, .axes = {{0, across}}});
    m.add_parameter("d", {2, 2}, {.axes = {{0, outside}, {1, halfway}}});
    m.add_parameter("e", {2}, {.within = two, .axes = {{0, halfway}}});
    CHECK(m.enclosing_block(inside) == one);
    CHECK(!m.enclosing_block(across));
    CHECK(!m.enclosing_block(outside));
    CHECK(!m.enclosing_block(halfway));
}

TEST_CASE("bad declarations are refused with a sentence that names them")
{
    sdp::model m;
    const auto heads = m.add_group("heads", 8);
    const auto other = m.add_group("other", 2);
    m.add_block("branch");
    m.add_parameter("taken", {8, 2}, {.axes = {{0, heads}, {1, other}}});
    const auto refuses = [&](auto action, std::initializer_list<std::string_view> words) {
        auto copy = m;
        return unit::flaw([&] { action(copy); }, words);
    };

    CHECK(refuses([](auto& x) { x.add_group("heads", 4); }, {"neuron group", "'heads'", "twice", "unique"}) == "");
    CHECK(refuses([](auto& x) { x.add_block("branch"); }, {"block", "'branch'", "twice"}) == "");
    CHECK(refuses([](auto& x) { x.add_parameter("taken", {1}); }, {"parameter", "'taken'", "twice"}) == "");
    CHECK(refuses([](auto& x) { x.add_group("", 4); }, {"neuron group", "empty name"}) == "");
    CHECK(refuses([](auto& x) { x.add_block(""); }, {"block", "empty name"}) == "");
    CHECK(refuses([](auto& x) { x.add_parameter("", {1}); }, {"parameter", "empty name"}) == "");
    CHECK(refuses([](auto& x) { x.add_group("none", 0); }, {"'none'", "0 neurons", "at least 1"}) == "");
    CHECK(refuses([](auto& x) { x.add_group("less", -4); }, {"'less'", "-4 neurons"}) == "");
    CHECK(refuses([](auto& x) { x.add_group("cheap", 4, -1.5); }, {"'cheap'", "-1.5", "finite"}) == "");
    CHECK(refuses([](auto& x) { x.add_block("nan", std::nan("")); }, {"'nan'", "cost", "finite"}) == "");
    CHECK(refuses([](auto& x) { x.add_block("inf", std::numeric_limits<double>::infinity()); }, {"'inf'", "finite"}) == "");

    CHECK(refuses([](auto& x) { x.add_parameter("flat", {3, 0}); }, {"'flat'", "[3, 0]", "at least 1"}) == "");
    CHECK(refuses([](auto& x) { x.add_parameter("flat", {-3}); }, {"'flat'", "[-3]"}) == "");
    CHECK(refuses([](auto& x) { x.add_parameter("lost", {3}, {.within = sdp::block_id(5)}); }, {"'lost'", "block number 5", "1"})
        == "");
    CHECK(refuses(
              [](auto& x) {
                  x.add_parameter("lost", {3}, {.axes = {{0, sdp::group_id(9)}}});
              },
              {"'lost'", "group number 9", "2 groups"})
        == "");
    CHECK(refuses(
              [&](auto& x) {
                  x.add_parameter("q", {60, 4}, {.axes = {{0, heads}}});
              },
              {"'q'", "axis 0", "60", "8 neurons", "'heads'", "do not divide"})
        == "");
    CHECK(refuses(
              [&](auto& x) {
                  x.add_parameter("q", {60}, {.axes = {{0, heads, 7}}});
              },
              {"'q'", "60", "'heads'", "7", "56"})
        == "");
    CHECK(refuses([&](auto& x) { x.add_parameter("q", {64}, {.axes = {{0, heads, -8}}}); }, {"'q'", "-8", "≥ 1"}) == "");
    CHECK(refuses([&](auto& x) { x.add_parameter("q", {64}, {.axes = {{1, heads}}}); }, {"'q'", "[64]", "no axis 1"}) == "");
    CHECK(refuses([&](auto& x) { x.add_parameter("q", {64}, {.axes = {{-1, heads}}}); }, {"'q'", "no axis -1"}) == "");
    CHECK(refuses(
              [&](auto& x) {
                  x.add_parameter("q", {8, 8}, {.axes = {{1, heads}, {1, other}}});
              },
              {"'q'", "axis 1", "given twice"})
        == "");
    CHECK(refuses(
              [&](auto& x) {
                  x.add_parameter("q", {8, 8}, {.axes = {{0, heads}, {1, heads}}});
              },
              {"'q'", "'heads'", "axes 0 and 1"})
        == "");
    CHECK(refuses([](auto& x) { (void)x.find("absent"); }, {"no parameter 'absent'"}) == "");
}

TEST_CASE("a shape whose elements cannot be counted is refused, the largest that can is not")
{
    sdp::model m;
    CHECK(unit::flaw(
              [&] {
                  m.add_parameter("huge", {sdp::index_t {1} << 40, sdp::index_t {1} << 40});
              },
              {"'huge'", "2^63"})
        == "");
    CHECK(unit::flaw(
              [&] {
                  m.add_parameter("one more", {sdp::index_t {1} << 32, sdp::index_t {1} << 31});
              },
              {"'one more'"})
        == "");
    CHECK_NOTHROW(m.add_parameter("largest", {std::numeric_limits<sdp::index_t>::max() - 5}));
    CHECK_NOTHROW(m.add_parameter("what is left", {5}));
    CHECK(m.size() == std::numeric_limits<sdp::index_t>::max());
    CHECK(unit::flaw([&] { m.add_parameter("one above", {1}); }, {"'one above'", "2^63"}) == "");

    sdp::model wide;
    const auto g = wide.add_group("g", sdp::index_t {1} << 32);
    // The product of the two wraps around to the extent.
    CHECK(unit::flaw(
              [&] {
                  wide.add_parameter("wraps", {sdp::index_t {1} << 32}, {.axes = {{0, g, (sdp::index_t {1} << 32) + 1}}});
              },
              {"'wraps'", "axis 0", "'g'"})
        == "");
}

TEST_CASE("a refused declaration leaves no trace")
{
    sdp::model m;
    const auto heads = m.add_group("heads", 8);
    CHECK_THROWS_AS(m.add_parameter("q", {7}, {.axes = {{0, heads}}}), sdp::error);
    CHECK_THROWS_AS(m.add_group("bad", 0), sdp::error);
    CHECK_THROWS_AS(m.add_block("bad", -1), sdp::error);
    CHECK(m.parameters().empty());
    CHECK(m.groups().size() == 1);
    CHECK(m.blocks().empty());
    CHECK(m.cost_per_neuron(heads) == 0);
    // The name of what was refused is free.
    CHECK_NOTHROW(m.add_parameter("q", {8}, {.axes = {{0, heads}}}));
    CHECK_NOTHROW(m.add_group("bad", 1));
    CHECK_NOTHROW(m.add_block("bad"));
}

TEST_CASE("an unfinished description is not valid")
{
    sdp::model m;
    CHECK(unit::flaw([&] { m.validate(); }, {"no parameters"}) == "");
    m.add_parameter("p", {3});
    CHECK_NOTHROW(m.validate());
    auto with_group = m, with_block = m;
    with_group.add_group("idle", 2);
    with_block.add_block("hollow");
    CHECK(unit::flaw([&] { with_group.validate(); }, {"'idle'", "empty"}) == "");
    CHECK(unit::flaw([&] { with_block.validate(); }, {"'hollow'", "empty"}) == "");
}

TEST_CASE("counts of random models agree with a count by element")
{
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
        unit::random r(seed);
        const auto m = unit::random_model(r);
        sdp::index_t size = 0, maskable = 0;
        for (const auto& p : m.parameters()) {
            sdp::index_t elements = 1;
            for (const auto extent : p.shape)
                elements *= extent;
            size += elements;
            maskable += p.where.within || !p.where.axes.empty() ? elements : 0;
            for (const auto& axis : p.where.axes)
                REQUIRE(axis.elements_per_neuron * m[axis.group].neurons == p.shape[static_cast<std::size_t>(axis.axis)]);
        }
        REQUIRE(m.size() == size);
        REQUIRE(m.maskable_size() == maskable);
        REQUIRE_NOTHROW(m.validate());
    }
}
