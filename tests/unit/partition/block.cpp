// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <unit/cases.hpp>

#include <sdp/partition/block.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <numeric>

namespace {

/// Heaviest worker over the mean.
double heaviest(const std::vector<sdp::index_t>& costs, const std::vector<unit::mask>& units, int world)
{
    std::vector<double> load(static_cast<std::size_t>(world), 0.0);
    for (std::size_t u = 0; u < units.size(); ++u)
        for (int rank = 0; rank < world; ++rank)
            load[static_cast<std::size_t>(rank)] += unit::has(units[u], rank) ? static_cast<double>(costs[u]) : 0.0;
    return *std::max_element(load.begin(), load.end()) * world / std::accumulate(load.begin(), load.end(), 0.0);
}

/// The best of all arrangements with exactly k holders per unit, of the connected ones only if asked.
double best_of_all(const std::vector<sdp::index_t>& costs, int world, int k, bool only_connected)
{
    std::vector<unit::mask> sets;
    for (unit::mask s = 0; s <= unit::everyone(world); ++s)
        if (unit::count(s) == k)
            sets.push_back(s);
    std::vector<unit::mask> units(costs.size());
    double best = std::numeric_limits<double>::infinity();
    const auto place = [&](auto& self, std::size_t u) -> void {
        if (u == units.size()) {
            if (!only_connected || unit::connected(units, world))
                best = std::min(best, heaviest(costs, units, world));
            return;
        }
        for (const auto s : sets) {
            units[u] = s;
            self(self, u + 1);
            if (u == 0)
                return; // the workers are alike, so the first unit's holders may be any
        }
    };
    place(place, 0);
    return best;
}

const std::vector<sdp::index_t> resnet_costs {73'984, 73'984, 230'144, 295'424, 919'040, 1'180'672, 3'673'088, 4'720'640};

} // namespace

TEST_CASE("each block has exactly k holders, and the workers are connected whenever they can be")
{
    for (std::uint64_t seed = 0; seed < 120; ++seed) {
        unit::random r(seed);
        std::vector<sdp::index_t> costs;
        for (int b = r.between(1, 14); b > 0; --b)
            costs.push_back(r.chance(50) ? 100 : r.between(1, 1000));
        const auto m = unit::blocks_of(costs);
        const int world = r.between(1, 9), k = r.between(1, world);
        const auto units
            = unit::unit_masks(sdp::block_partition {.coverage = static_cast<double>(k) / world, .seed = seed}(m, world));
        CAPTURE(seed);
        REQUIRE(units.size() == costs.size());
        for (const auto u : units) {
            REQUIRE(unit::count(u) == k);
            REQUIRE((u & ~unit::everyone(world)) == 0);
        }
        if (k >= 2 && costs.size() * static_cast<std::size_t>(k - 1) + 1 >= static_cast<std::size_t>(world))
            REQUIRE(unit::connected(units, world));
    }
}

TEST_CASE("the heaviest worker is within 10 % of the mean wherever any arrangement allows it")
{
    int possible = 0, impossible = 0;
    for (std::uint64_t seed = 0; seed < 260; ++seed) {
        unit::random r(seed);
        const int world = r.between(2, 4), k = r.between(1, world - 1);
        const int spread = r.between(1, 3);
        std::vector<sdp::index_t> costs;
        for (int b = r.between(1, world == 4 && k == 2 ? 5 : 6); b > 0; --b) {
            sdp::index_t cost = r.between(1, 12);
            for (int s = 1; s < spread; ++s)
                cost *= r.between(1, 6);
            costs.push_back(cost);
        }
        const bool connectable = k >= 2 && static_cast<int>(costs.size()) * (k - 1) >= world - 1;
        const double best = best_of_all(costs, world, k, connectable);
        const auto m = unit::blocks_of(costs);
        const auto units
            = unit::unit_masks(sdp::block_partition {.coverage = static_cast<double>(k) / world, .seed = seed}(m, world));
        const double ours = heaviest(costs, units, world);
        CAPTURE(seed);
        CAPTURE(world);
        CAPTURE(k);
        CAPTURE(best);
        REQUIRE(ours >= best * (1 - 1e-12));
        if (best <= 1.10 * (1 + 1e-12)) {
            ++possible;
            CHECK(ours <= 1.10 * (1 + 1e-9));
        } else {
            ++impossible;
            CHECK(ours <= best * 1.25); // still not far from the best there is
        }
        if (connectable)
            CHECK(unit::connected(units, world));
    }
    CHECK(possible > 60);
    CHECK(impossible > 60);
}

TEST_CASE("the blocks of ResNet-18 are balanced")
{
    const auto m = unit::blocks_of(resnet_costs);
    const auto ratio = [&](int k, int world, std::uint64_t seed) {
        return heaviest(resnet_costs,
            unit::unit_masks(sdp::block_partition {.coverage = static_cast<double>(k) / world, .seed = seed}(m, world)), world);
    };
    for (std::uint64_t seed = 0; seed < 5; ++seed) {
        CAPTURE(seed);
        CHECK(ratio(2, 4, seed) <= 1.10);
        CHECK(ratio(4, 8, seed) <= 1.10);
        CHECK(ratio(4, 4, seed) == doctest::Approx(1));
        CHECK(ratio(8, 8, seed) == doctest::Approx(1));
    }
    for (int k = 1; k < 4; ++k) {
        const double best = best_of_all(resnet_costs, 4, k, k >= 2);
        CAPTURE(k);
        if (best <= 1.10)
            CHECK(ratio(k, 4, 0) <= 1.10);
        else
            CHECK(ratio(k, 4, 0) <= best * 1.1);
    }
    // With one holder each of the two large blocks fills a worker; nobody can do better than the largest alone.
    CHECK(ratio(1, 8, 0) == doctest::Approx(4'720'640.0 * 8 / 11'166'976));
}

TEST_CASE("declared costs are balanced instead of sizes")
{
    sdp::model m;
    const std::vector<sdp::index_t> declared {90, 10, 40, 60, 50, 50};
    for (std::size_t b = 0; b < declared.size(); ++b) {
        const auto id = m.add_block("block" + std::to_string(b), static_cast<double>(declared[b]));
        m.add_parameter("weight" + std::to_string(b), {static_cast<sdp::index_t>(1 + b * b * 100)}, {.within = id});
    }
    const auto units = unit::unit_masks(sdp::block_partition {.coverage = 1.0 / 3}(m, 3));
    CHECK(heaviest(declared, units, 3) == doctest::Approx(1));
}

TEST_CASE("only the selected blocks are given away")
{
    const auto m = unit::llama(8, 6, 3, 2, 5);
    const auto a = sdp::block_partition {.coverage = 0.5, .blocks = "*.feed"}(m, 2);
    for (std::size_t b = 0; b < m.blocks().size(); ++b)
        CHECK(a.partitioned(sdp::block_id(b)) == m.blocks()[b].name.ends_with(".feed"));
    for (std::size_t g = 0; g < m.groups().size(); ++g)
        CHECK(!a.partitioned(sdp::group_id(g)));
}

TEST_CASE("many blocks and workers take no time to speak of, and come out even")
{
    unit::random r(17);
    std::vector<sdp::index_t> costs;
    for (int b = 0; b < 400; ++b)
        costs.push_back(r.between(500, 1500));
    const auto m = unit::blocks_of(costs);
    const auto units = unit::unit_masks(sdp::block_partition {.coverage = 0.25, .seed = 2}(m, 32));
    CHECK(heaviest(costs, units, 32) <= 1.02);
    CHECK(unit::connected(units, 32));
}

TEST_CASE("a seed means the same holders on every platform, another seed others")
{
    const auto layers = unit::llama(64, 96, 12, 8, 11), blocks = unit::blocks_of(resnet_costs);
    const auto print = [](const sdp::model& m, double coverage, std::uint64_t seed, int world) {
        return unit::fingerprint(sdp::block_partition {.coverage = coverage, .seed = seed}(m, world));
    };
    CHECK(print(layers, 0.5, 0, 4) == print(layers, 0.5, 0, 4));
    CHECK(print(layers, 0.5, 0, 4) != print(layers, 0.5, 1, 4));
    CHECK(print(layers, 0.5, 0, 4) == 11070678500042516389U);
    CHECK(print(layers, 0.375, 7, 8) == 17658260688873084954U);
    CHECK(print(blocks, 0.5, 0, 4) == 8260320275942059907U);
    CHECK(print(blocks, 0.5, 0xFFFFFFFFFFFFFFFF, 8) == 2692904255053134405U);
    CHECK(print(blocks, 0.25, 3, 8) == 18259355002118433417U);
}
