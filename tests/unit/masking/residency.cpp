// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <unit/cases.hpp>

#include <sdp/masking/backward.hpp>
#include <sdp/masking/forward.hpp>

#include <doctest/doctest.h>

#include <functional>
#include <map>

namespace {

/// A test's answer for each unit.
struct scripted {
    std::function<sdp::rank_set(const sdp::unit_view&)> stored, trained;
    [[nodiscard]] sdp::rank_set stored_by(const sdp::unit_view& u) const { return stored(u); }
    [[nodiscard]] sdp::rank_set trained_by(const sdp::unit_view& u) const { return trained(u); }
};

/// Forward masking that counts how often it is asked.
struct counting {
    int* asked;
    [[nodiscard]] sdp::rank_set stored_by(const sdp::unit_view& u) const { return u.holders; }
    [[nodiscard]] sdp::rank_set trained_by(const sdp::unit_view& u) const
    {
        ++*asked;
        return u.holders;
    }
};
struct counting_by_holders : counting {
    static constexpr bool by_holders_alone = true;
};

sdp::rank_set holders(const sdp::unit_view& u)
{
    return u.holders;
}

sdp::model crossing()
{
    sdp::model m;
    const auto rows = m.add_group("rows", 4), columns = m.add_group("columns", 2);
    const auto branch = m.add_block("branch");
    m.add_parameter("alone", {4}, {.axes = {{0, rows}}});
    m.add_parameter("crossed", {4, 6}, {.within = branch, .axes = {{1, columns}, {0, rows}}});
    return m;
}

} // namespace

TEST_CASE("forward masking: the holders store and train")
{
    const sdp::rank_set holders {1, 4};
    const sdp::unit_view u {"unit", false, holders, 6};
    CHECK(sdp::forward_masking {}.stored_by(u) == holders);
    CHECK(sdp::forward_masking {}.trained_by(u) == holders);
}

TEST_CASE("backward masking: everybody stores, the holders train")
{
    const sdp::rank_set holders {1, 4};
    const sdp::unit_view u {"unit", true, holders, 6};
    CHECK(sdp::backward_masking {}.stored_by(u) == sdp::rank_set::all(6));
    CHECK(sdp::backward_masking {}.trained_by(u) == holders);
}

TEST_CASE("a regime is asked once for each holder set of a group or block, and once for each in all if it looks at nothing else")
{
    sdp::model m;
    for (const auto* const name : {"first", "second"}) {
        const auto g = m.add_group(name, 4);
        m.add_parameter(name, {4}, {.axes = {{0, g}}});
    }
    sdp::assignment a(m, 3);
    for (const auto g : {sdp::group_id(0), sdp::group_id(1)})
        a.assign(g, std::vector<sdp::neuron_unit> {{0, 1, {0}}, {1, 2, {1}}, {2, 3, {0}}, {3, 4, {1, 2}}});
    int by_name = 0, by_holders = 0;
    const sdp::residency x(m, a, counting {&by_name}), y(m, a, counting_by_holders {{&by_holders}});
    CHECK(by_name == 6);
    CHECK(by_holders == 3);
    for (const auto g : {sdp::group_id(0), sdp::group_id(1)})
        for (std::size_t i = 0; i < 4; ++i) {
            CHECK(x[x.runs(g)[i].residents] == y[y.runs(g)[i].residents]);
            CHECK(x[x.runs(g)[i].residents].trained == a.holders(a.units(g)[i]));
        }
    static_assert(sdp::by_holders_alone<sdp::forward_masking> && sdp::by_holders_alone<sdp::backward_masking>);
    static_assert(!sdp::by_holders_alone<counting>);
}

TEST_CASE("a residency says of every unit what the regime says, and runs are maximal")
{
    for (std::uint64_t seed = 0; seed < 400; ++seed) {
        const auto s = unit::random_scene(seed);
        CAPTURE(seed);
        REQUIRE(s.residents.world() == s.world);
        const auto matches = [&](std::uint32_t number, unit::mask holders) {
            REQUIRE(unit::mask_of(s.residents[number].stored) == s.regime.stored(holders, s.world));
            REQUIRE(unit::mask_of(s.residents[number].trained) == s.regime.trained(holders, s.world));
        };
        for (std::size_t g = 0; g < s.model.groups().size(); ++g) {
            const auto id = sdp::group_id(g);
            const auto runs = s.residents.runs(id);
            for (std::size_t i = 0; i < runs.size(); ++i) {
                REQUIRE(runs[i].begin == (i == 0 ? 0 : runs[i - 1].end));
                REQUIRE(runs[i].begin < runs[i].end);
                if (i > 0)
                    REQUIRE(runs[i].residents != runs[i - 1].residents);
            }
            REQUIRE(runs.back().end == s.model[id].neurons);
            for (const auto& u : s.holders.units(id))
                for (const auto& run : runs)
                    if (run.begin < u.end && u.begin < run.end)
                        matches(run.residents, unit::mask_of(s.holders.holders(u)));
        }
        for (std::size_t b = 0; b < s.model.blocks().size(); ++b)
            matches(s.residents.of(sdp::block_id(b)), unit::mask_of(s.holders.holders(sdp::block_id(b))));
    }
}

TEST_CASE("an element that nobody trains is refused, and no other arrangement is")
{
    int refused = 0, accepted = 0;
    for (std::uint64_t seed = 0; seed < 1500; ++seed) {
        unit::random r(seed);
        const auto m = unit::random_model(r);
        const int world = r.between(1, 5);
        const unit::any_regime regime {static_cast<unit::any_regime::kind>(seed % 4)};
        const auto a = unit::random_assignment(r, m, world, -1);
        const auto elements = unit::elements_of(m, a, regime);
        CAPTURE(seed);
        if (elements.complete()) {
            ++accepted;
            REQUIRE_NOTHROW(sdp::residency(m, a, regime));
            continue;
        }
        ++refused;
        std::size_t first = 0;
        while (std::find(elements.trained[first].begin(), elements.trained[first].end(), 0U) == elements.trained[first].end())
            ++first;
        REQUIRE(unit::flaw([&] { sdp::residency(m, a, regime); },
                    {"parameter '" + m.parameters()[first].name + "'", "nobody trains", "at least one holder"})
            == "");
    }
    CHECK(refused > 200);
    CHECK(accepted > 200);
}

TEST_CASE("the regime is told each unit's name, kind, holders and the world")
{
    const auto m = crossing();
    sdp::assignment a(m, 3);
    a.assign(sdp::group_id(0), std::vector<sdp::neuron_unit> {{0, 1, {0, 1}}, {1, 4, {0, 2}}});
    a.assign(sdp::block_id(0), {0, 1});
    std::map<std::string, std::vector<unit::mask>> seen;
    const auto note = [&](const sdp::unit_view& u) {
        CHECK(u.world == 3);
        CHECK(u.is_block == (u.name == "branch"));
        seen[std::string(u.name)].push_back(unit::mask_of(u.holders));
        return u.holders;
    };
    const sdp::residency r(m, a, scripted {note, holders});
    CHECK(seen["rows"] == std::vector<unit::mask> {0b011, 0b101});
    CHECK(seen["columns"] == std::vector<unit::mask> {0b111});
    CHECK(seen["branch"] == std::vector<unit::mask> {0b011});
    // An element in several units keeps only the workers that are in all of them.
    CHECK(r.runs(sdp::group_id(0)).size() == 2);
}

TEST_CASE("a regime that contradicts itself is refused")
{
    const auto m = crossing();
    const sdp::assignment a(m, 3);
    const auto just = [](sdp::rank_set set) { return [set](const sdp::unit_view&) { return set; }; };
    const auto refuses = [&](auto stored, auto trained, std::initializer_list<std::string_view> words) {
        return unit::flaw([&] { sdp::residency(m, a, scripted {stored, trained}); }, words);
    };
    CHECK(refuses(just({0, 3}), just({0}), {"'rows'", "[0, 3]", "3 workers"}) == "");
    CHECK(refuses(just({0, 1}), just({1, 2}), {"'rows'", "[1, 2]", "[0, 1]", "must also store"}) == "");
    CHECK(refuses(just({0, 1}), just({}), {"'rows'", "trained by nobody", "at least one"}) == "");
    const auto only_blocks = [](const sdp::unit_view& u) { return u.is_block ? sdp::rank_set {} : u.holders; };
    CHECK(refuses(holders, only_blocks, {"block 'branch'", "nobody"}) == "");
}

TEST_CASE("an assignment of another model is refused")
{
    const auto m = crossing();
    const auto other = unit::one_group(4);
    CHECK(unit::flaw([&] { sdp::residency(m, sdp::assignment(other, 2), sdp::forward_masking {}); },
              {"1 neuron groups and 0 blocks", "2 and 1", "this model"})
        == "");
}
