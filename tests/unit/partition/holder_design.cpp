// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <unit/cases.hpp>

#include <sdp/masking/forward.hpp>
#include <sdp/partition/block.hpp>
#include <sdp/partition/nested.hpp>
#include <sdp/partition/neuron.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <set>

namespace {

using sdp::holder_design;

/// The holders that a policy gave each unit, as a plain list of ranks without a type of the library.
struct unit_list {
    std::vector<std::vector<int>> holders;
    std::vector<std::size_t> group;
    std::vector<sdp::index_t> neurons;
};

unit_list expand(const sdp::model& m, const sdp::assignment& a, sdp::index_t granularity)
{
    unit_list out;
    for (std::size_t g = 0; g < m.groups().size(); ++g) {
        sdp::index_t next = 0;
        for (const auto& entry : a.units(sdp::group_id(g))) {
            REQUIRE(entry.begin == next);
            for (std::uint32_t i = 0; i < entry.count; ++i) {
                const auto end = std::min(next + granularity, m.groups()[g].neurons);
                out.holders.push_back(a.holders(entry).ranks());
                out.group.push_back(g);
                out.neurons.push_back(end - next);
                next = end;
            }
            REQUIRE(entry.end == next);
        }
        REQUIRE(next == m.groups()[g].neurons);
    }
    return out;
}

bool connected(const std::vector<std::vector<int>>& sets, int world)
{
    std::vector<bool> reached(static_cast<std::size_t>(world), false);
    reached[0] = true;
    for (bool more = true; more;) {
        more = false;
        for (const auto& s : sets) {
            const bool any = std::any_of(s.begin(), s.end(), [&](int r) { return reached[static_cast<std::size_t>(r)]; });
            for (const int r : s)
                if (any && !reached[static_cast<std::size_t>(r)])
                    reached[static_cast<std::size_t>(r)] = more = true;
        }
    }
    return std::find(reached.begin(), reached.end(), false) == reached.end();
}

std::size_t most_peers(const std::vector<std::vector<int>>& sets, int world)
{
    std::vector<std::set<int>> peers(static_cast<std::size_t>(world));
    for (const auto& s : sets)
        for (const int a : s)
            for (const int b : s)
                if (a != b)
                    peers[static_cast<std::size_t>(a)].insert(b);
    std::size_t out = 0;
    for (const auto& p : peers)
        out = std::max(out, p.size());
    return out;
}

/// Most minus least of units that workers hold.
int spread(const unit_list& units, int world, auto selected)
{
    std::vector<int> held(static_cast<std::size_t>(world), 0);
    for (std::size_t u = 0; u < units.holders.size(); ++u)
        if (selected(u))
            for (const int r : units.holders[u])
                ++held[static_cast<std::size_t>(r)];
    const auto [least, most] = std::minmax_element(held.begin(), held.end());
    return *most - *least;
}

sdp::model groups_of(const std::vector<sdp::index_t>& neurons, const std::vector<sdp::index_t>& width)
{
    sdp::model m;
    for (std::size_t g = 0; g < neurons.size(); ++g) {
        const auto id = m.add_group("group" + std::to_string(g), neurons[g]);
        m.add_parameter("weight" + std::to_string(g), {neurons[g], width[g]}, {.axes = {{0, id}}});
    }
    return m;
}

} // namespace

TEST_CASE("bounded designs: k holders for each unit, few peers, even loads, and everybody connected that can be")
{
    int joined_by_few = 0, ragged = 0;
    for (std::uint64_t seed = 0; seed < 1500; ++seed) {
        unit::random r(seed);
        const int world = r.chance(70) ? r.between(1, 40) : r.between(40, 150);
        const int k = r.chance(50) ? r.between(1, std::min(world, 6)) : r.between(1, world);
        const int divisions = r.between(2, 5), granularity = r.between(1, 4);
        const auto design = r.chance(60) ? holder_design::cells : holder_design::cyclic;
        std::vector<sdp::index_t> neurons, width;
        for (int g = r.between(1, 5); g > 0; --g) {
            neurons.push_back(r.chance(50) ? r.between(1, 30) : r.between(1, 600));
            width.push_back(r.between(1, 3)); // groups of few different costs
        }
        const auto m = groups_of(neurons, width);
        sdp::index_t count = 0;
        for (const auto n : neurons)
            count += (n + granularity - 1) / granularity;
        const sdp::neuron_partition policy {.coverage = static_cast<double>(k) / world,
            .granularity = granularity,
            .seed = seed,
            .design = design,
            .divisions = divisions};
        CAPTURE(seed);
        CAPTURE(world);
        CAPTURE(k);
        CAPTURE(divisions);
        if (count * k < world) {
            REQUIRE(unit::flaw([&] { (void)policy(m, world); },
                        {design == holder_design::cells ? "'cells'" : "'cyclic'", std::to_string(count) + " units",
                            std::to_string(k) + " holders", std::to_string(world) + " workers"})
                == "");
            continue;
        }
        const auto a = policy(m, world);
        REQUIRE(a == policy(m, world));
        const auto units = expand(m, a, granularity);
        REQUIRE(units.holders.size() == static_cast<std::size_t>(count));
        for (const auto& h : units.holders) {
            REQUIRE(h.size() == static_cast<std::size_t>(k));
            REQUIRE(h.back() < world);
        }
        if (k >= 2 && count * (k - 1) >= world - 1) {
            REQUIRE(connected(units.holders, world));
            joined_by_few += count * k < 2 * world ? 1 : 0;
        }

        const bool even = world % k == 0 || design == holder_design::cyclic;
        ragged += even ? 0 : 1;
        const auto peers = most_peers(units.holders, world);
        const auto bound = design == holder_design::cyclic ? 2 * (k - 1) : divisions * (k - 1) * (world % k == 0 ? 1 : 2);
        REQUIRE(peers <= static_cast<std::size_t>(std::min(bound, world - 1)));
        // One ring is within the bound of the comment; that a worker is in several costs one more each.
        const int rings = even ? 0 : divisions;
        REQUIRE(spread(units, world, [](std::size_t) { return true; }) <= 1 + rings);
        // Fewer units than stretches of a ring: even in all, but not in every part.
        const bool few = design == holder_design::cyclic && count < std::max(2 * world / k, world / std::gcd(world, k));
        for (std::size_t g = 0; g < neurons.size() && !few; ++g) {
            REQUIRE(spread(units, world, [&](std::size_t u) { return units.group[u] == g; }) <= 2 + 2 * rings);
            REQUIRE(spread(units, world, [&](std::size_t u) { return width[units.group[u]] == width[g]; }) <= 2 + 2 * rings);
        }
        // A partial unit is last, and each group has at most one.
        for (std::size_t u = 0; u + 1 < units.neurons.size(); ++u)
            if (units.group[u] == units.group[u + 1])
                REQUIRE(units.neurons[u] == granularity);
    }
    CHECK(joined_by_few > 20); // so few units that chance would not have connected them
    CHECK(ragged > 300);
}

TEST_CASE("cells with a remainder: peers and loads stay close to those without")
{
    for (const auto& [world, k] : {std::pair {1000, 7}, {1000, 24}, {601, 6}, {997, 32}}) {
        const auto m = unit::one_group(20'000);
        for (const int divisions : {2, 3, 4}) {
            const auto units = expand(m,
                sdp::neuron_partition {.coverage = static_cast<double>(k) / world,
                    .seed = 3,
                    .design = holder_design::cells,
                    .divisions = divisions}(m, world),
                1);
            CAPTURE(world);
            CAPTURE(k);
            CAPTURE(divisions);
            CHECK(most_peers(units.holders, world) <= static_cast<std::size_t>((divisions + 1) * (k - 1)));
            CHECK(spread(units, world, [](std::size_t) { return true; }) <= 2);
            CHECK(connected(units.holders, world));
        }
    }
}

TEST_CASE("cyclic holders are consecutive ranks")
{
    for (const auto& [world, k] : {std::pair {12, 4}, {13, 4}, {10, 7}, {9, 3}, {16, 2}}) {
        const auto m = unit::one_group(200);
        const auto units = expand(
            m, sdp::neuron_partition {.coverage = static_cast<double>(k) / world, .design = holder_design::cyclic}(m, world), 1);
        for (const auto& h : units.holders) {
            int ends = 0; // ranks whose successor on the ring is no holder
            for (const int rank : h)
                ends += std::binary_search(h.begin(), h.end(), (rank + 1) % world) ? 0 : 1;
            CHECK(ends == 1);
        }
    }
}

TEST_CASE("blocks of unequal cost: k holders, few peers, connected, loads within about the heaviest block")
{
    for (std::uint64_t seed = 0; seed < 400; ++seed) {
        unit::random r(seed);
        const int world = r.between(1, 48), k = r.between(1, world), divisions = r.between(2, 4);
        std::vector<sdp::index_t> costs;
        for (int b = r.between(1, 60); b > 0; --b)
            costs.push_back(r.chance(30) ? 500 : r.between(1, 1000));
        const auto m = unit::blocks_of(costs);
        const auto design = r.chance(60) ? holder_design::cells : holder_design::cyclic;
        const sdp::block_partition policy {
            .coverage = static_cast<double>(k) / world, .seed = seed, .design = design, .divisions = divisions};
        CAPTURE(seed);
        const auto count = static_cast<int>(costs.size());
        if (count * k < world) {
            REQUIRE(unit::flaw([&] { (void)policy(m, world); }, {std::to_string(count) + " units"}) == "");
            continue;
        }
        const auto units = unit::unit_masks(policy(m, world));
        std::vector<std::vector<int>> sets;
        std::vector<double> load(static_cast<std::size_t>(world), 0);
        for (std::size_t b = 0; b < costs.size(); ++b) {
            auto& s = sets.emplace_back();
            for (int rank = 0; rank < world; ++rank)
                if (unit::has(units[b], rank)) {
                    s.push_back(rank);
                    load[static_cast<std::size_t>(rank)] += static_cast<double>(costs[b]);
                }
            REQUIRE(s.size() == static_cast<std::size_t>(k));
        }
        if (k >= 2 && count * (k - 1) >= world - 1)
            REQUIRE(connected(sets, world));
        const auto bound = design == holder_design::cyclic ? 2 * (k - 1) : divisions * (k - 1) * (world % k == 0 ? 1 : 2);
        REQUIRE(most_peers(sets, world) <= static_cast<std::size_t>(std::min(bound, world - 1)));
        const auto [least, most] = std::minmax_element(load.begin(), load.end());
        const double heaviest = static_cast<double>(*std::max_element(costs.begin(), costs.end()));
        REQUIRE(*most - *least <= (world % k == 0 ? 2 : 2 + divisions) * heaviest);
    }
}

TEST_CASE("nested: inner cells are cut from a block's holders, and blocks with the same holders share them")
{
    for (std::uint64_t seed = 0; seed < 60; ++seed) {
        unit::random r(seed);
        const int inner = r.between(1, 4), outer = inner * r.between(1, 4), world = outer * r.between(1, 4);
        const auto m = unit::llama(12, 70, 8, 6, 5);
        const sdp::nested_partition policy {.outer
            = {.coverage = static_cast<double>(outer) / world, .seed = seed, .design = holder_design::cells, .divisions = 2},
            .inner
            = {.coverage = static_cast<double>(inner) / outer, .seed = seed, .design = holder_design::cells, .divisions = 2}};
        const auto a = policy(m, world);
        CAPTURE(seed);
        std::vector<std::vector<int>> inside;
        for (std::size_t g = 0; g < m.groups().size(); ++g) {
            const auto block = unit::mask_of(a.holders(sdp::block_id(g)));
            REQUIRE(unit::count(block) == outer);
            for (const auto& u : a.units(sdp::group_id(g))) {
                REQUIRE(unit::count(unit::mask_of(a.holders(u))) == inner);
                REQUIRE((unit::mask_of(a.holders(u)) & ~block) == 0);
                inside.push_back(a.holders(u).ranks());
            }
        }
        REQUIRE(most_peers(inside, world) <= static_cast<std::size_t>(2 * 2 * (inner - 1)));
        REQUIRE_NOTHROW(sdp::residency(m, a, sdp::forward_masking {}));
    }
}

TEST_CASE("designs that cannot be are refused")
{
    const auto m = unit::one_group(64);
    const auto cells = [&](int divisions) {
        return unit::flaw(
            [&] { (void)sdp::neuron_partition {.coverage = 0.25, .design = holder_design::cells, .divisions = divisions}(m, 8); },
            {"divisions is " + std::to_string(divisions), "2 to 64", "'cells'"});
    };
    CHECK(cells(1) == "");
    CHECK(cells(0) == "");
    CHECK(cells(-2) == "");
    CHECK(cells(65) == "");
    CHECK_NOTHROW((void)sdp::neuron_partition {.coverage = 0.5, .divisions = 0}(m, 8)); // no matter to the others
    CHECK_NOTHROW((void)sdp::neuron_partition {.coverage = 0.5, .design = holder_design::cyclic, .divisions = 0}(m, 8));
    CHECK(
        unit::flaw([&] { (void)sdp::neuron_partition {.coverage = 0.5, .granularity = 0, .design = holder_design::cells}(m, 8); },
            {"granularity is 0"})
        == "");
    CHECK(unit::flaw(
              [&] {
                  (void)sdp::block_partition {.coverage = 0.5, .design = holder_design::cells, .divisions = 1}(
                      unit::blocks_of({1, 2}), 2);
              },
              {"divisions is 1"})
        == "");
    CHECK(
        unit::flaw(
            [&] { (void)sdp::neuron_partition {.coverage = 1.0 / 64, .granularity = 8, .design = holder_design::cyclic}(m, 64); },
            {"'cyclic'", "8 units", "1 holders", "64 workers", "at least 64 units"})
        == "");
    CHECK(
        unit::flaw([&] { (void)sdp::neuron_partition {.coverage = 0.3, .design = holder_design::cells}(m, 8); }, {"0.3"}) == "");
}

TEST_CASE("combined takes entries of many units over")
{
    const auto m = unit::llama(8, 60, 2, 4, 5);
    const sdp::neuron_partition neurons {.coverage = 0.25, .groups = "*.neurons", .design = holder_design::cells};
    const sdp::neuron_partition heads {.coverage = 0.5, .groups = "*.heads"};
    const auto both = sdp::combined(heads, neurons)(m, 8), alone = neurons(m, 8);
    for (std::size_t g = 0; g < m.groups().size(); ++g)
        if (m.groups()[g].name.ends_with("neurons"))
            CHECK(std::ranges::equal(
                both.units(sdp::group_id(g)), alone.units(sdp::group_id(g)), [&](const auto& u, const auto& v) {
                    return u.begin == v.begin && u.end == v.end && u.count == v.count && both.holders(u) == alone.holders(v);
                }));
}

TEST_CASE("a seed means the same cells on every platform, another seed others")
{
    const auto m = unit::llama(64, 96, 3, 8, 11);
    const auto print = [&](double coverage, sdp::index_t granularity, std::uint64_t seed, int world, holder_design design) {
        return unit::fingerprint(
            sdp::neuron_partition {.coverage = coverage, .granularity = granularity, .seed = seed, .design = design}(m, world));
    };
    CHECK(print(0.5, 1, 0, 4, holder_design::cells) != print(0.5, 1, 1, 4, holder_design::cells));
    CHECK(print(0.5, 1, 0, 4, holder_design::cyclic) == print(0.5, 1, 1, 4, holder_design::cyclic));
    CHECK(print(0.5, 1, 0, 4, holder_design::cells) == 17470296050681551533U);
    CHECK(print(0.25, 3, 1, 8, holder_design::cells) == 4134948608407068530U);
    CHECK(print(2.0 / 9, 1, 42, 9, holder_design::cells) == 5202383410462660038U);
    CHECK(print(0.25, 3, 1, 8, holder_design::cyclic) == 5181840955430810030U);
    const auto blocks = unit::llama(64, 96, 12, 8, 11);
    CHECK(unit::fingerprint(sdp::block_partition {.coverage = 0.25, .seed = 7, .design = holder_design::cells}(blocks, 16))
        == 4816627160066940613U);
}
