// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <unit/cases.hpp>

#include <sdp/partition/assignment.hpp>

#include <doctest/doctest.h>

namespace {

sdp::model two_of_each()
{
    sdp::model m;
    const auto g = m.add_group("heads", 4), h = m.add_group("hidden", 3);
    const auto b = m.add_block("first"), c = m.add_block("second");
    m.add_parameter("p", {4, 3}, {.within = b, .axes = {{0, g}, {1, h}}});
    m.add_parameter("q", {2}, {.within = c});
    return m;
}

constexpr sdp::group_id heads {0}, hidden {1};
constexpr sdp::block_id first {0}, second {1};

} // namespace

TEST_CASE("everything starts pinned")
{
    const auto m = two_of_each();
    const sdp::assignment a(m, 3);
    CHECK(a.world() == 3);
    CHECK(a.group_count() == 2);
    CHECK(a.block_count() == 2);
    REQUIRE(a.units(heads).size() == 1);
    CHECK(a.units(heads)[0].begin == 0);
    CHECK(a.units(heads)[0].end == 4);
    CHECK(a.holders(a.units(heads)[0]) == sdp::rank_set {0, 1, 2});
    CHECK(a.holders(first) == sdp::rank_set {0, 1, 2});
    CHECK(!a.partitioned(heads));
    CHECK(!a.partitioned(first));
}

TEST_CASE("what is assigned is read back")
{
    const auto m = two_of_each();
    sdp::assignment a(m, 3);
    a.assign(heads, std::vector<sdp::neuron_unit> {{0, 1, {2}}, {1, 4, {0, 1}}});
    a.assign(second, {1});
    REQUIRE(a.units(heads).size() == 2);
    CHECK(a.holders(a.units(heads)[0]) == sdp::rank_set {2});
    CHECK(a.holders(a.units(heads)[1]) == sdp::rank_set {0, 1});
    CHECK(a.units(heads)[1].begin == 1);
    CHECK(a.units(heads)[1].end == 4);
    CHECK(a.holders(second) == sdp::rank_set {1});
    CHECK(a.partitioned(heads));
    CHECK(a.partitioned(second));
    CHECK(!a.partitioned(hidden));
    CHECK(!a.partitioned(first));
}

TEST_CASE("assignments are equal when all units have equal holders, in whatever order they were given")
{
    const auto m = two_of_each();
    sdp::assignment a(m, 3), b(m, 3);
    CHECK(a == b);
    a.assign(first, {1});
    CHECK(a != b);
    a.assign(second, {0, 2});
    b.assign(second, {0, 2});
    CHECK(a != b);
    b.assign(first, {1});
    CHECK(a == b);
    a.assign(heads, std::vector<sdp::neuron_unit> {{0, 2, {0}}, {2, 4, {1}}});
    b.assign(heads, std::vector<sdp::neuron_unit> {{0, 1, {0}}, {1, 4, {1}}});
    CHECK(a != b);
    b.assign(heads, std::vector<sdp::neuron_unit> {{0, 2, {0}}, {2, 4, {1}}});
    CHECK(a == b);
    CHECK(sdp::assignment(m, 3) != sdp::assignment(m, 4));
}

TEST_CASE("holders that do not fit are refused, and change nothing")
{
    const auto m = two_of_each();
    sdp::assignment a(m, 3);
    using units = std::vector<sdp::neuron_unit>;
    const auto refuses = [&](const units& u, std::initializer_list<std::string_view> words) {
        return unit::flaw([&] { a.assign(heads, u); }, words);
    };
    CHECK(refuses({{0, 2, {0}}}, {"'heads'", "end at neuron 2", "4"}) == "");
    CHECK(refuses({}, {"'heads'", "end at neuron 0", "4"}) == "");
    CHECK(refuses({{0, 5, {0}}}, {"'heads'", "neuron 5", "4"}) == "");
    CHECK(refuses({{0, 2, {0}}, {3, 4, {0}}}, {"'heads'", "[3, 4)", "neuron 2"}) == "");
    CHECK(refuses({{0, 2, {0}}, {1, 4, {0}}}, {"'heads'", "[1, 4)", "neuron 2"}) == "");
    CHECK(refuses({{0, 0, {0}}, {0, 4, {0}}}, {"'heads'", "[0, 0)"}) == "");
    CHECK(refuses({{0, 2, {0}}, {2, 4, {}}}, {"'heads'", "[2, 4)", "no holder", "at least one"}) == "");
    CHECK(refuses({{0, 4, {1, 3}}}, {"'heads'", "[1, 3]", "3 workers"}) == "");
    CHECK(unit::flaw([&] { a.assign(first, {}); }, {"'first'", "no holder"}) == "");
    CHECK(unit::flaw([&] { a.assign(first, {4}); }, {"'first'", "[4]", "3 workers"}) == "");
    CHECK(unit::flaw([&] { a.assign(sdp::block_id(2), {0}); }, {"block number 2", "2"}) == "");
    CHECK(unit::flaw([&] { a.assign(sdp::group_id(7), units {}); }, {"group number 7", "2"}) == "");
    CHECK(a == sdp::assignment(m, 3));
    CHECK(!a.partitioned(heads));
    CHECK(!a.partitioned(first));
}

TEST_CASE("numbered holder sets are assigned as the sets themselves, and refused as they are")
{
    const auto m = two_of_each();
    sdp::assignment a(m, 3), b(m, 3);
    const auto one = a.add_holders({2}), two = a.add_holders({0, 1});
    CHECK(a.add_holders({2}) == one);
    CHECK(a == b); // a set alone changes nothing
    using numbered = std::vector<sdp::assignment::unit>;
    a.assign(heads, numbered {{0, 1, one}, {1, 4, two}});
    b.assign(heads, std::vector<sdp::neuron_unit> {{0, 1, {2}}, {1, 4, {0, 1}}});
    CHECK(a == b);
    CHECK(a.partitioned(heads));
    const auto refuses = [&](numbered u, std::initializer_list<std::string_view> words) {
        return unit::flaw([&] { a.assign(heads, std::move(u)); }, words);
    };
    CHECK(refuses({{0, 2, one}}, {"'heads'", "end at neuron 2", "4"}) == "");
    CHECK(refuses({{0, 2, one}, {3, 4, one}}, {"'heads'", "[3, 4)", "neuron 2"}) == "");
    CHECK(refuses({{0, 4, 9}}, {"'heads'", "[0, 4)", "set number 9", "3 sets"}) == "");
    CHECK(refuses({{0, 4, one, 0}}, {"'heads'", "[0, 4)", "0 units"}) == "");
    CHECK(unit::flaw([&] { a.assign(sdp::group_id(7), numbered {}); }, {"group number 7", "2"}) == "");
    CHECK(unit::flaw([&] { (void)a.add_holders({}); }, {"no holder"}) == "");
    CHECK(unit::flaw([&] { (void)a.add_holders({1, 3}); }, {"[1, 3]", "3 workers"}) == "");
    CHECK(a == b);
}

TEST_CASE("no workers, or a model that is not valid, is refused")
{
    const auto m = two_of_each();
    CHECK(unit::flaw([&] { sdp::assignment(m, 0); }, {"0 workers", "at least 1"}) == "");
    CHECK(unit::flaw([&] { sdp::assignment(m, -2); }, {"-2 workers"}) == "");
    CHECK(unit::flaw([&] { sdp::assignment(sdp::model {}, 2); }, {"no parameters"}) == "");
}

TEST_CASE("random holders are read back neuron by neuron")
{
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
        unit::random r(seed);
        const auto m = unit::one_group(r.between(1, 30));
        const int world = r.between(1, 10);
        sdp::assignment a(m, world);
        std::vector<unit::mask> expected;
        std::vector<sdp::neuron_unit> units;
        for (sdp::index_t begin = 0; begin < m.groups()[0].neurons;) {
            const auto end = std::min<sdp::index_t>(m.groups()[0].neurons, begin + r.between(1, 5));
            const auto holders = static_cast<unit::mask>(r.between(1, (1 << world) - 1));
            expected.insert(expected.end(), static_cast<std::size_t>(end - begin), holders);
            units.push_back({begin, end, unit::set_of(holders)});
            begin = end;
        }
        a.assign(heads, units);
        std::vector<unit::mask> found;
        for (const auto& u : a.units(heads))
            found.insert(found.end(), static_cast<std::size_t>(u.end - u.begin), unit::mask_of(a.holders(u)));
        REQUIRE(found == expected);
    }
}
