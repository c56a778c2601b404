// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "cases.hpp"

#include <sdp/diagnostics.hpp>
#include <sdp/masking/backward.hpp>
#include <sdp/masking/forward.hpp>
#include <sdp/partition/block.hpp>
#include <sdp/partition/detail/spectrum.hpp>
#include <sdp/partition/detail/weighted_sets.hpp>
#include <sdp/partition/neuron.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <random>

namespace {

/// One neuron per given holder set.
sdp::assignment assign_each(const sdp::model& m, int world, const std::vector<unit::mask>& sets)
{
    sdp::assignment a(m, world);
    std::vector<sdp::neuron_unit> units;
    for (std::size_t u = 0; u < sets.size(); ++u)
        units.push_back({static_cast<sdp::index_t>(u), static_cast<sdp::index_t>(u) + 1, unit::set_of(sets[u])});
    a.assign(sdp::group_id(0), units);
    return a;
}

double gap_of(const std::vector<unit::mask>& sets, int world)
{
    return sdp::spectral_gap(assign_each(unit::one_group(static_cast<sdp::index_t>(sets.size())), world, sets));
}

std::vector<unit::mask> all_subsets(int world, int k)
{
    std::vector<unit::mask> out;
    for (unit::mask s = 0; s <= unit::everyone(world); ++s)
        if (unit::count(s) == k)
            out.push_back(s);
    return out;
}

std::vector<unit::mask> windows(int world, int k)
{
    std::vector<unit::mask> out;
    for (int u = 0; u < world; ++u) {
        unit::mask s = 0;
        for (int i = 0; i < k; ++i)
            s |= unit::mask {1} << (u + i) % world;
        out.push_back(s);
    }
    return out;
}

/// Second largest eigenvalue of W = D_w⁻¹ A D_u⁻¹ Aᵀ by power iteration, orthogonal to the first eigenvector (all ones) in
/// the inner product that D_w gives. W has no negative eigenvalues.
double second_eigenvalue(const std::vector<unit::mask>& sets, int world)
{
    const auto n = static_cast<std::size_t>(world);
    std::vector<double> degree(n, 0), x(n), next(n);
    for (const auto s : sets)
        for (std::size_t i = 0; i < n; ++i)
            degree[i] += unit::has(s, static_cast<int>(i)) ? 1 : 0;
    for (std::size_t i = 0; i < n; ++i)
        x[i] = std::sin(1.0 + 7.0 * static_cast<double>(i * i));
    double value = 0;
    for (int round = 0; round < 4000; ++round) {
        double mean = 0, weight = 0, size = 0;
        for (std::size_t i = 0; i < n; ++i) {
            mean += degree[i] * x[i];
            weight += degree[i];
        }
        for (auto& v : x)
            v -= mean / weight;
        for (std::size_t i = 0; i < n; ++i)
            size += degree[i] * x[i] * x[i];
        if (size < 1e-280)
            return 0;
        for (auto& v : x)
            v /= std::sqrt(size);
        std::fill(next.begin(), next.end(), 0.0);
        for (const auto s : sets) {
            double sum = 0;
            for (std::size_t i = 0; i < n; ++i)
                sum += unit::has(s, static_cast<int>(i)) ? x[i] : 0;
            for (std::size_t i = 0; i < n; ++i)
                next[i] += unit::has(s, static_cast<int>(i)) ? sum / unit::count(s) / degree[i] : 0;
        }
        value = 0;
        for (std::size_t i = 0; i < n; ++i)
            value += degree[i] * x[i] * next[i];
        x = next;
    }
    return value;
}

} // namespace

TEST_CASE("the spectral gap of cyclic windows and of all k-subsets of 8 workers")
{
    const double cyclic[] = {0, .146, .352, .573, .767, .905, .980, 1};
    const double subsets[] = {0, .571, .762, .857, .914, .952, .980, 1};
    for (int k = 1; k <= 8; ++k) {
        CAPTURE(k);
        CHECK(std::abs(gap_of(windows(8, k), 8) - cyclic[k - 1]) < 6e-4);
        CHECK(std::abs(gap_of(all_subsets(8, k), 8) - subsets[k - 1]) < 6e-4);
        CHECK(gap_of(all_subsets(8, k), 8) == doctest::Approx(1 - (8.0 - k) / (k * 7.0)).epsilon(1e-9));
    }
}

TEST_CASE("the closed form for all k-subsets holds at every size")
{
    for (int world = 2; world <= 10; ++world)
        for (int k = 1; k <= world; ++k)
            CHECK(std::abs(gap_of(all_subsets(world, k), world) - (1 - (world - k) / (k * (world - 1.0)))) < 1e-9);
}

TEST_CASE("the gap of random holders is what power iteration finds, and is zero just when they are not connected")
{
    int apart = 0;
    for (std::uint64_t seed = 0; seed < 150; ++seed) {
        unit::random r(seed);
        const int world = r.between(2, 8);
        std::vector<unit::mask> sets;
        for (int u = r.between(1, 9); u > 0; --u)
            sets.push_back(static_cast<unit::mask>(r.between(1, static_cast<int>(unit::everyone(world)))));
        if (r.chance(40)) // two halves that share nothing
            for (auto& s : sets) {
                const auto low = unit::everyone((world + 1) / 2), part = s & (r.chance(50) ? low : ~low);
                s = part != 0 ? part : s & low;
                if (s == 0)
                    s = 1;
            }
        CAPTURE(seed);
        const auto a = assign_each(unit::one_group(static_cast<sdp::index_t>(sets.size())), world, sets);
        const bool joined = unit::connected(sets, world);
        apart += joined ? 0 : 1;
        REQUIRE(sdp::is_connected(a) == joined);
        if (joined)
            REQUIRE(sdp::spectral_gap(a) == doctest::Approx(1 - second_eigenvalue(sets, world)).epsilon(1e-3));
        else
            REQUIRE(sdp::spectral_gap(a) < 1e-9);
        REQUIRE((sdp::spectral_gap(a) > 1e-9) == joined);
    }
    CHECK(apart > 30);
    CHECK(apart < 120);
}

TEST_CASE("the iteration for many workers finds what all eigenvalues tell for few")
{
    double worst = 0;
    for (std::uint64_t seed = 0; seed < 400; ++seed) {
        unit::random r(seed);
        const int world = r.between(2, 24);
        std::vector<unit::mask> sets;
        for (int u = r.between(2, 60); u > 0; --u) {
            unit::mask s = r.chance(10) ? unit::everyone(world) : 0;
            for (int n = r.between(1, 5); n > 0; --n)
                s |= unit::mask {1} << r.below(world);
            sets.push_back(s);
        }
        if (!unit::connected(sets, world))
            continue;
        const auto a = assign_each(unit::one_group(static_cast<sdp::index_t>(sets.size())), world, sets);
        const auto units = sdp::detail::count_units(a);
        const double found
            = 1 - sdp::detail::second_eigenvalue(units, sdp::detail::spread(units, static_cast<std::size_t>(world)));
        const double dense = sdp::spectral_gap(a);
        worst = std::max(worst, std::abs(found - dense) / dense);
    }
    CHECK(worst < 1e-4);
}

TEST_CASE("the gap of many workers has its closed forms")
{
    const double pi = std::acos(-1.0);
    // Every stretch of k ranks on a ring.
    for (const auto& [world, k] : {std::pair {200, 3}, {500, 8}, {1000, 300}}) {
        const auto m = unit::one_group(world);
        sdp::assignment a(m, world);
        std::vector<sdp::neuron_unit> units;
        for (int u = 0; u < world; ++u) {
            std::vector<int> ranks;
            for (int i = 0; i < k; ++i)
                ranks.push_back((u + i) % world);
            units.push_back({u, u + 1, sdp::rank_set(ranks)});
        }
        a.assign(sdp::group_id(0), units);
        const double ratio = std::sin(pi * k / world) / (k * std::sin(pi / world));
        CHECK(sdp::spectral_gap(a) == doctest::Approx(1 - ratio * ratio).epsilon(1e-4));
        for (const int peers : sdp::peers_per_worker(a))
            REQUIRE(peers == std::min(world - 1, 2 * (k - 1)));
    }
    // The cyclic design, for even k that divide N: two stretches of k/2 ranks each way.
    for (const auto& [world, k] : {std::pair {256, 4}, {4096, 8}, {16'384, 32}, {16'384, 8}}) {
        const auto m = unit::one_group(2 * world / k);
        const auto a
            = sdp::neuron_partition {.coverage = static_cast<double>(k) / world, .design = sdp::holder_design::cyclic}(m, world);
        const double expected = std::pow(std::sin(pi * k / (2.0 * world)), 2);
        CAPTURE(world);
        CHECK(sdp::spectral_gap(a) == doctest::Approx(expected).epsilon(1e-4));
        CHECK(sdp::balance(m, a) == 1);
        for (const int peers : sdp::peers_per_worker(a))
            REQUIRE(peers == k - 1 + k / 2);
    }
}

TEST_CASE("cells mix as random regular graphs do, whatever the number of workers")
{
    for (const int world : {1024, 4096})
        for (const int k : {4, 16, 32})
            for (const int divisions : {2, 3, 4}) {
                const auto m = unit::one_group(10 * divisions * world / k);
                const auto a = sdp::neuron_partition {.coverage = static_cast<double>(k) / world,
                    .design = sdp::holder_design::cells,
                    .divisions = divisions}(m, world);
                const double second = std::pow(std::sqrt(divisions - 1.0) + std::sqrt(k - 1.0), 2) / (divisions * k);
                CAPTURE(world);
                CAPTURE(k);
                CAPTURE(divisions);
                CHECK(std::abs(sdp::spectral_gap(a) - (1 - second)) < 0.03);
                CHECK(sdp::is_connected(a));
                CHECK(sdp::balance(m, a) == 1);
            }
}

TEST_CASE("peers are those with whom a worker holds a unit")
{
    for (std::uint64_t seed = 0; seed < 300; ++seed) {
        unit::random r(seed);
        const int world = r.between(1, 30);
        std::vector<unit::mask> sets, peers(static_cast<std::size_t>(world), 0);
        for (int u = r.between(1, 12); u > 0; --u) {
            unit::mask s = 0;
            for (int n = r.between(1, 6); n > 0; --n)
                s |= unit::mask {1} << r.below(world);
            sets.push_back(s);
            for (int rank = 0; rank < world; ++rank)
                peers[static_cast<std::size_t>(rank)] |= unit::has(s, rank) ? s : 0;
        }
        const auto found
            = sdp::peers_per_worker(assign_each(unit::one_group(static_cast<sdp::index_t>(sets.size())), world, sets));
        REQUIRE(found.size() == static_cast<std::size_t>(world));
        for (int rank = 0; rank < world; ++rank)
            REQUIRE(found[static_cast<std::size_t>(rank)]
                == unit::count(peers[static_cast<std::size_t>(rank)] & ~(unit::mask {1} << rank)));
    }
    const auto m = unit::one_group(3);
    CHECK(sdp::peers_per_worker(sdp::assignment(m, 3)) == std::vector {0, 0, 0}); // pinned
}

TEST_CASE("entries of many units count as many")
{
    const auto m = unit::one_group(6);
    sdp::assignment each(m, 4), together(m, 4);
    each.assign(sdp::group_id(0),
        std::vector<sdp::neuron_unit> {
            {0, 1, {0, 1}}, {1, 2, {0, 1}}, {2, 3, {0, 1}}, {3, 4, {1, 2}}, {4, 5, {2, 3}}, {5, 6, {2, 3}}});
    const auto first = together.add_holders({0, 1}), second = together.add_holders({1, 2}), third = together.add_holders({2, 3});
    together.assign(sdp::group_id(0), {{0, 3, first, 3}, {3, 4, second, 1}, {4, 6, third, 2}});
    CHECK(sdp::spectral_gap(each) == doctest::Approx(sdp::spectral_gap(together)).epsilon(1e-12));
    CHECK(sdp::holders_histogram(each) == sdp::holders_histogram(together));
    CHECK(sdp::balance(m, each) == sdp::balance(m, together));
}

TEST_CASE("pinned units say nothing about connection")
{
    sdp::model m;
    const auto g = m.add_group("split", 2), h = m.add_group("pinned", 2);
    m.add_block("whole");
    m.add_parameter("p", {2, 2}, {.within = sdp::block_id(0), .axes = {{0, g}, {1, h}}});
    sdp::assignment a(m, 2);
    CHECK(!sdp::is_connected(a));
    CHECK(sdp::spectral_gap(a) == 0);
    a.assign(g, std::vector<sdp::neuron_unit> {{0, 1, {0}}, {1, 2, {1}}});
    CHECK(!sdp::is_connected(a));
    a.assign(sdp::block_id(0), {0, 1});
    CHECK(sdp::is_connected(a)); // given to both by a policy, this one counts
    CHECK(sdp::spectral_gap(a) == doctest::Approx(0.5));
    CHECK(sdp::is_connected(sdp::assignment(m, 1)));
    CHECK(sdp::spectral_gap(sdp::assignment(m, 1)) == 1);
}

TEST_CASE("the histogram counts units by their holders")
{
    for (std::uint64_t seed = 0; seed < 100; ++seed) {
        const auto s = unit::random_scene(seed);
        std::map<int, std::size_t> expected;
        for (std::size_t g = 0; g < s.model.groups().size(); ++g)
            for (const auto& u : s.holders.units(sdp::group_id(g)))
                ++expected[unit::count(unit::mask_of(s.holders.holders(u)))];
        for (std::size_t b = 0; b < s.model.blocks().size(); ++b)
            ++expected[unit::count(unit::mask_of(s.holders.holders(sdp::block_id(b))))];
        REQUIRE(sdp::holders_histogram(s.holders) == expected);
    }
    const auto m = unit::llama(64, 96, 2, 8, 11);
    CHECK(sdp::holders_histogram(sdp::neuron_partition {.coverage = 0.25, .granularity = 4}(m, 8))
        == std::map<int, std::size_t> {{2, 2 * (2 + 24)}, {8, 4}});
}

TEST_CASE("balance is the heaviest load over the mean")
{
    const auto m = unit::blocks_of({6, 2, 4});
    sdp::assignment a(m, 2);
    CHECK(sdp::balance(m, a) == 1); // nothing is split
    a.assign(sdp::block_id(0), {0});
    CHECK(sdp::balance(m, a) == 2);
    a.assign(sdp::block_id(1), {1});
    a.assign(sdp::block_id(2), {1});
    CHECK(sdp::balance(m, a) == 1);
    a.assign(sdp::block_id(1), {0});
    CHECK(sdp::balance(m, a) == doctest::Approx(8.0 / 6));

    sdp::model costly;
    const auto g = costly.add_group("costly", 4, 10), h = costly.add_group("counted", 3);
    costly.add_parameter("p", {4, 3, 5}, {.axes = {{0, g}, {1, h}}});
    sdp::assignment b(costly, 2);
    b.assign(g, std::vector<sdp::neuron_unit> {{0, 3, {0}}, {3, 4, {1}}});
    b.assign(h, std::vector<sdp::neuron_unit> {{0, 3, {0, 1}}});
    CHECK(sdp::balance(costly, b) == doctest::Approx((30.0 + 60) / (20 + 60)));
}

TEST_CASE("worker shares are a count of elements")
{
    for (std::uint64_t seed = 0; seed < 400; ++seed) {
        const auto s = unit::random_scene(seed);
        const auto average = sdp::worker_shares(s.model, s.residents);
        const auto owner = sdp::worker_shares(s.model, s.residents, sdp::update_mode::owner_update, 3);
        REQUIRE(average.size() == static_cast<std::size_t>(s.world));
        CAPTURE(seed);
        sdp::index_t owned = 0;
        for (int rank = 0; rank < s.world; ++rank) {
            sdp::worker_share expected;
            for (std::size_t p = 0; p < s.model.parameters().size(); ++p)
                for (std::size_t i = 0; i < s.elements.stored[p].size(); ++i) {
                    const bool stored = unit::has(s.elements.stored[p][i], rank),
                               trained = unit::has(s.elements.trained[p][i], rank);
                    const auto& where = s.model.parameters()[p].where;
                    const bool maskable = where.within || !where.axes.empty();
                    expected.stored += stored ? 1 : 0;
                    expected.trained += trained ? 1 : 0;
                    expected.stored_maskable += stored && maskable ? 1 : 0;
                    expected.trained_maskable += trained && maskable ? 1 : 0;
                }
            const auto& w = average[static_cast<std::size_t>(rank)];
            const auto& o = owner[static_cast<std::size_t>(rank)];
            REQUIRE(w.stored == expected.stored);
            REQUIRE(w.trained == expected.trained);
            REQUIRE(w.stored_maskable == expected.stored_maskable);
            REQUIRE(w.trained_maskable == expected.trained_maskable);
            REQUIRE(w.value_bytes == 4 * static_cast<std::uint64_t>(expected.stored));
            REQUIRE(w.gradient_bytes == 4 * static_cast<std::uint64_t>(expected.trained));
            REQUIRE(w.optimizer_bytes == 8 * static_cast<std::uint64_t>(expected.trained));
            REQUIRE(o.owned == w.owned);
            REQUIRE(o.gradient_bytes == w.gradient_bytes);
            REQUIRE(o.optimizer_bytes == 12 * static_cast<std::uint64_t>(w.owned));
            owned += w.owned;
            sdp::index_t pieces = 0; // what the plan gives this worker
            const auto plan = sdp::make_overlap_plan(s.model, s.residents, sdp::subnetwork(s.model, s.residents, rank));
            for (const auto& piece : plan.pieces)
                pieces += plan.owner_of(piece) == rank ? static_cast<sdp::index_t>(plan.size_of(piece)) : 0;
            REQUIRE(w.owned == pieces);
        }
        REQUIRE(owned == s.model.size());
    }
}

TEST_CASE("bytes are counted by element type")
{
    sdp::model m;
    const auto g = m.add_group("neurons", 5);
    m.add_parameter("single", {5, 3}, {.axes = {{0, g}}});
    m.add_parameter("double", {5, 7}, {.axes = {{0, g}}, .type = sdp::element_type::f64});
    m.add_parameter("pinned", {10});
    sdp::assignment a(m, 4);
    a.assign(g, std::vector<sdp::neuron_unit> {{0, 3, {0, 1, 3}}, {3, 5, {1, 2}}});
    const sdp::residency r(m, a, sdp::backward_masking {});
    const auto shares = sdp::worker_shares(m, r);
    const auto owner = sdp::worker_shares(m, r, sdp::update_mode::owner_update, 3);
    for (int rank = 0; rank < 4; ++rank) {
        const auto neurons = rank == 1 ? 5U : rank == 2 ? 2U : 3U;
        const auto& w = shares[static_cast<std::size_t>(rank)];
        CHECK(w.value_bytes == 5 * (3 * 4 + 7 * 8) + 40);
        CHECK(w.gradient_bytes == neurons * (3 * 4 + 7 * 8) + 40);
        CHECK(w.optimizer_bytes == 2 * w.gradient_bytes);

        std::uint64_t sent = 0, owned_bytes = 0;
        const auto plan = sdp::make_overlap_plan(m, r, sdp::subnetwork(m, r, rank));
        for (std::size_t p = 0; p < 3; ++p)
            for (const auto& piece : plan.of(p)) {
                const auto& c = plan.class_of(piece);
                const bool mine = plan.owner_of(piece) == rank;
                const std::uint64_t bytes = plan.size_of(piece) * (p == 1 ? 8 : 4);
                owned_bytes += mine ? bytes : 0;
                sent += c.position < 0 ? 0 : bytes * (mine ? c.trainers.size() - 1 + c.readers.size() : 1);
            }
        CHECK(sdp::bytes_per_step(m, r, rank, sdp::update_mode::owner_update) == sent);
        CHECK(sdp::bytes_per_step(m, r, rank) == sent);
        CHECK(owner[static_cast<std::size_t>(rank)].optimizer_bytes == 3 * owned_bytes);
    }
}

TEST_CASE("bytes per step are a count of messages, element by element")
{
    for (std::uint64_t seed = 0; seed < 400; ++seed) {
        const auto s = unit::random_scene(seed);
        CAPTURE(seed);
        std::vector<std::uint64_t> average(static_cast<std::size_t>(s.world), 0), owner(average);
        for (int rank = 0; rank < s.world; ++rank) {
            const auto plan = sdp::make_overlap_plan(s.model, s.residents, sdp::subnetwork(s.model, s.residents, rank));
            for (const auto& piece : plan.pieces) {
                const auto& c = plan.class_of(piece);
                if (c.position < 0)
                    continue;
                const bool mine = plan.owner_of(piece) == rank;
                const auto k = c.trainers.size(), readers = c.readers.size();
                auto& a = average[static_cast<std::size_t>(rank)];
                auto& o = owner[static_cast<std::size_t>(rank)];
                // A gradient to its owner, or the owner's mean to each other trainer: one per other trainer or one in all.
                a += plan.size_of(piece) * ((mine ? k - 1 : 1) + (mine ? readers : 0));
                o += plan.size_of(piece) * (mine ? k - 1 + readers : 1);
            }
        }
        std::uint64_t gradients = 0, values = 0;
        for (std::size_t p = 0; p < s.model.parameters().size(); ++p)
            for (std::size_t i = 0; i < s.elements.trained[p].size(); ++i) {
                const auto k = static_cast<std::uint64_t>(unit::count(s.elements.trained[p][i]));
                gradients += 2 * (k - 1);
                values += static_cast<std::uint64_t>(unit::count(s.elements.stored[p][i])) - k;
            }
        std::uint64_t sum = 0, owner_sum = 0;
        for (int rank = 0; rank < s.world; ++rank) {
            const auto at = static_cast<std::size_t>(rank);
            REQUIRE(sdp::bytes_per_step(s.model, s.residents, rank) == 4 * average[at]);
            REQUIRE(sdp::bytes_per_step(s.model, s.residents, rank, sdp::update_mode::average) == 4 * average[at]);
            REQUIRE(sdp::bytes_per_step(s.model, s.residents, rank, sdp::update_mode::owner_update) == 4 * owner[at]);
            sum += average[at];
            owner_sum += owner[at];
        }
        REQUIRE(sum == gradients + values);
        REQUIRE(owner_sum == gradients + values);
    }
}

TEST_CASE("traffic of 8 workers, in model sizes")
{
    // 3·5·7·8·8 neurons: every worker gets the same number at each coverage, to the neuron.
    const auto m = unit::one_group(6720);
    const double model_bytes = 4 * 6720.0;
    const double coverage[] = {1 / 8.0, 1 / 4.0, 3 / 8.0, 1 / 2.0, 3 / 4.0, 1};
    const double forward[] = {0, .25, .5, .75, 1.25, 1.75};
    const double backward[] = {.875, 1, 1.125, 1.25, 1.5, 1.75};
    for (std::size_t i = 0; i < 6; ++i) {
        const auto a = sdp::neuron_partition {.coverage = coverage[i]}(m, 8);
        const sdp::residency f(m, a, sdp::forward_masking {}), b(m, a, sdp::backward_masking {});
        double sum_forward = 0, sum_backward = 0;
        for (int rank = 0; rank < 8; ++rank) {
            const auto per_step = static_cast<double>(sdp::bytes_per_step(m, f, rank)) / model_bytes;
            sum_forward += per_step;
            CHECK(per_step == doctest::Approx(forward[i]).epsilon(0.02));
            for (const auto mode : {sdp::update_mode::average, sdp::update_mode::owner_update}) {
                const auto with_values = static_cast<double>(sdp::bytes_per_step(m, b, rank, mode)) / model_bytes;
                sum_backward += with_values / 2;
                CHECK(with_values == doctest::Approx(backward[i]).epsilon(0.02));
            }
        }
        CHECK(sum_forward == doctest::Approx(8 * forward[i]).epsilon(1e-12));
        CHECK(sum_backward == doctest::Approx(8 * backward[i]).epsilon(1e-12));
    }
    const sdp::residency dense(m, sdp::assignment(m, 8), sdp::forward_masking {});
    for (int rank = 0; rank < 8; ++rank)
        CHECK(sdp::bytes_per_step(m, dense, rank) == static_cast<std::uint64_t>(1.75 * model_bytes));
}

TEST_CASE("ResNet-18 with half the blocks per worker: actual shares stay within a tenth of half")
{
    const auto m = unit::resnet18();
    const auto a = sdp::block_partition {.coverage = 0.5}(m, 8);
    CHECK(sdp::balance(m, a) <= 1.10);
    CHECK(sdp::is_connected(a));
    const auto shares = sdp::worker_shares(m, sdp::residency(m, a, sdp::forward_masking {}));
    sdp::index_t sum = 0;
    for (const auto& w : shares) {
        CHECK(static_cast<double>(w.stored_maskable) <= 0.55 * 11'166'976);
        CHECK(w.stored - w.stored_maskable == 1'856 + 5'130);
        sum += w.stored_maskable;
    }
    CHECK(sum == 4 * sdp::index_t {11'166'976});
}
