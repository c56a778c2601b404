// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief Compares steps of the library with closed-form results about the method.

#include "oracle.hpp"

#include <sdp/comm/threads.hpp>
#include <sdp/data_parallel.hpp>
#include <sdp/masking/backward.hpp>
#include <sdp/masking/forward.hpp>
#include <sdp/partition/neuron.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <mutex>
#include <numeric>
#include <string>
#include <vector>

namespace {

using oracle::has;
using oracle::rank_mask;
using vector = std::vector<double>;
using matrix = std::vector<vector>;

/// f(x) = ½xᵀLx − bᵀx with a symmetric, well-conditioned L.
struct quadratic {
    matrix l;
    vector b;

    explicit quadratic(std::size_t n, std::uint64_t seed)
        : l(n, vector(n))
        , b(n)
    {
        const auto uniform
            = [&](std::size_t i, std::size_t j) { return static_cast<double>(oracle::hash(seed, i, j) >> 11) * 0x1p-52 - 1; };
        // Diagonally dominant: eigenvalues between 1 and 3 whatever the off-diagonal part.
        for (std::size_t i = 0; i < n; ++i) {
            l[i][i] = 2;
            b[i] = uniform(i, n);
            for (std::size_t j = 0; j < i; ++j)
                l[i][j] = l[j][i] = uniform(i, j) / static_cast<double>(n);
        }
    }
    [[nodiscard]] std::size_t size() const { return b.size(); }
};

/// Gaussian elimination with partial pivoting.
vector solve(matrix a, vector b)
{
    const std::size_t n = b.size();
    for (std::size_t column = 0; column < n; ++column) {
        std::size_t pivot = column;
        for (std::size_t row = column; row < n; ++row)
            if (std::fabs(a[row][column]) > std::fabs(a[pivot][column]))
                pivot = row;
        std::swap(a[pivot], a[column]);
        std::swap(b[pivot], b[column]);
        for (std::size_t row = column + 1; row < n; ++row) {
            const double factor = a[row][column] / a[column][column];
            for (std::size_t j = column; j < n; ++j)
                a[row][j] -= factor * a[column][j];
            b[row] -= factor * b[column];
        }
    }
    for (std::size_t row = n; row-- > 0;) {
        for (std::size_t j = row + 1; j < n; ++j)
            b[row] -= a[row][j] * b[j];
        b[row] /= a[row][row];
    }
    return b;
}

double distance(const vector& a, const vector& b)
{
    double out = 0;
    for (std::size_t i = 0; i < a.size(); ++i)
        out = std::max(out, std::fabs(a[i] - b[i]));
    return out;
}

/// A policy from a plain function.
struct given {
    sdp::assignment holders;
    sdp::assignment operator()(const sdp::model&, int) const { return holders; }
};

/// The holders of each of n neurons of the model's only group.
std::vector<rank_mask> masks_of(const sdp::assignment& a, std::size_t n)
{
    std::vector<rank_mask> out(n);
    for (const auto& u : a.units(sdp::group_id(0)))
        for (auto i = u.begin; i < u.end; ++i)
            out[static_cast<std::size_t>(i)] = oracle::mask_of(a.holders(u));
    return out;
}

/// (L∘K)⁻¹b with K_gh = |H_g∩H_h|/k_g.
vector fixed_point(const quadratic& f, const std::vector<rank_mask>& holders)
{
    auto a = f.l;
    for (std::size_t g = 0; g < f.size(); ++g)
        for (std::size_t h = 0; h < f.size(); ++h)
            a[g][h] *= static_cast<double>(oracle::count(holders[g] & holders[h])) / oracle::count(holders[g]);
    return solve(a, f.b);
}

sdp::model model_of(std::size_t n)
{
    sdp::model m;
    const auto units = m.add_group("units", static_cast<sdp::index_t>(n));
    m.add_parameter("x", {static_cast<sdp::index_t>(n)}, {.within = {}, .axes = {{0, units, 1}}, .type = sdp::element_type::f64});
    return m;
}

/// Gradient descent on f under forward masking: a worker knows only its own x and takes the rest for zero. Returns the
/// assembled x, after checking that all holders agree on it.
vector descend(const quadratic& f, const sdp::assignment& holders, int steps, sdp::synchronizer_options options = {})
{
    const std::size_t n = f.size();
    const auto m = model_of(n);
    const auto masks = masks_of(holders, n);
    constexpr double rate = 0.45;
    vector result(n);
    std::mutex lock;
    sdp::run_workers(holders.world(), [&](sdp::thread_communicator communicator) {
        sdp::data_parallel parallel(m, given {holders}, sdp::forward_masking {}, communicator, options);
        std::vector<std::size_t> mine;
        for (std::size_t i = 0; i < n; ++i)
            if (has(masks[i], communicator.rank()))
                mine.push_back(i);
        vector x(mine.size()), gradient(mine.size());
        const sdp::parameter_id id {};
        if (!mine.empty()) {
            parallel.bind(id, x);
            parallel.bind_gradient(id, gradient);
        }
        for (int step = 0; step < steps; ++step) {
            for (std::size_t i = 0; i < mine.size(); ++i) {
                gradient[i] = -f.b[mine[i]];
                for (std::size_t j = 0; j < mine.size(); ++j)
                    gradient[i] += f.l[mine[i]][mine[j]] * x[j];
            }
            if (!mine.empty())
                parallel.ready(id);
            parallel.finish();
            for (std::size_t i = 0; i < mine.size(); ++i)
                x[i] -= rate * gradient[i];
            parallel.publish_values();
        }
        vector full(n);
        parallel.assemble(id, 0, full);
        const std::scoped_lock guard(lock);
        if (communicator.rank() == 0)
            result = full;
    });
    return result;
}

sdp::assignment split(std::size_t n, int world, int k, std::uint64_t seed)
{
    return sdp::neuron_partition {.coverage = static_cast<double>(k) / world, .seed = seed}(model_of(n), world);
}

sdp::assignment by_hand(int world, const std::vector<rank_mask>& masks)
{
    sdp::assignment out(model_of(masks.size()), world);
    std::vector<sdp::neuron_unit> units;
    for (std::size_t i = 0; i < masks.size(); ++i) {
        std::vector<int> ranks;
        for (int rank = 0; rank < world; ++rank)
            if (has(masks[i], rank))
                ranks.push_back(rank);
        units.push_back({static_cast<sdp::index_t>(i), static_cast<sdp::index_t>(i) + 1, sdp::rank_set(ranks)});
    }
    out.assign(sdp::group_id(0), units);
    return out;
}

constexpr double tight = 1e-12;
constexpr int enough = 200; // the error shrinks at least to 0.6 of itself in each step

} // namespace

TEST_CASE("forward masking: gradient descent on a quadratic ends at (L∘K)⁻¹b")
{
    const quadratic f(24, 1);
    const auto truth = solve(f.l, f.b);
    for (const int world : {4, 6})
        for (int k = 1; k <= world; ++k) {
            CAPTURE(world);
            CAPTURE(k);
            const auto holders = split(f.size(), world, k, 10u + static_cast<std::uint64_t>(k));
            const auto expected = fixed_point(f, masks_of(holders, f.size()));
            const auto found = descend(f, holders, enough);
            CHECK(distance(found, expected) < tight);
            if (k == world)
                CHECK(distance(found, truth) < tight);
            else
                CHECK(distance(found, truth) > 1e-3); // the bias is real, not a rounding error
        }
}

TEST_CASE("forward masking: the same fixed point for uneven holders and either normalizer")
{
    const quadratic f(10, 2);
    const auto holders = by_hand(5, {0b00001, 0b00111, 0b11111, 0b10010, 0b01000, 0b10101, 0b11000, 0b00011, 0b01110, 0b11011});
    const auto expected = fixed_point(f, masks_of(holders, f.size()));
    CHECK(distance(descend(f, holders, enough), expected) < tight);
    // Dividing by N scales the step of unit g by k_g/N, which moves no fixed point but takes longer.
    CHECK(distance(descend(f, holders, 10 * enough, {.normalizer = sdp::normalizer::world}), expected) < tight);
}

TEST_CASE("forward masking: disjoint masks give the block-Jacobi solution")
{
    const quadratic f(12, 3);
    const std::vector<rank_mask> masks {1, 2, 4, 1, 2, 4, 4, 4, 1, 2, 1, 2};
    const auto found = descend(f, by_hand(3, masks), enough);
    vector expected(f.size());
    for (int rank = 0; rank < 3; ++rank) {
        std::vector<std::size_t> mine;
        for (std::size_t i = 0; i < f.size(); ++i)
            if (has(masks[i], rank))
                mine.push_back(i);
        matrix a;
        vector b;
        for (const auto i : mine) {
            auto& row = a.emplace_back();
            for (const auto j : mine)
                row.push_back(f.l[i][j]);
            b.push_back(f.b[i]);
        }
        const auto part = solve(a, b);
        for (std::size_t i = 0; i < mine.size(); ++i)
            expected[mine[i]] = part[i];
    }
    CHECK(distance(found, expected) < tight);
    CHECK(distance(found, solve(f.l, f.b)) > 1e-3);
}

TEST_CASE("forward masking: the bias vanishes as the coverage goes to 1")
{
    const quadratic f(40, 4);
    const auto truth = solve(f.l, f.b);
    double before = 0;
    for (const int k : {1, 3, 5, 7, 8}) {
        const double bias = distance(descend(f, split(f.size(), 8, k, 5), enough), truth);
        CAPTURE(k);
        if (k > 1)
            CHECK(bias < before);
        before = bias;
    }
    CHECK(before < tight);
}

namespace {

/// Mean of the gradients and their mean square distance from the full gradient, per element.
struct statistics {
    vector mean, variance;
};

/// The shards' gradients differ by their b only: shard s has ∇f_s(θ) = Lθ − b_s. θ is fixed here, so L does not matter.
struct sharded_gradient {
    std::vector<vector> of_shard;
    vector full, variance; ///< mean and variance over the shards

    sharded_gradient(std::size_t n, std::size_t shards, std::uint64_t seed)
        : full(n)
        , variance(n)
    {
        for (std::size_t s = 0; s < shards; ++s) {
            auto& g = of_shard.emplace_back();
            for (std::size_t i = 0; i < n; ++i)
                g.push_back(oracle::number(oracle::hash(seed, s, i)));
        }
        const auto count = static_cast<double>(shards);
        for (std::size_t i = 0; i < n; ++i) {
            for (const auto& g : of_shard)
                full[i] += g[i] / count;
            for (const auto& g : of_shard)
                variance[i] += (g[i] - full[i]) * (g[i] - full[i]) / count;
        }
    }
};

/// One step of size 1 under backward masking for each of `draws`, which say what shard each rank sees. The move of the
/// values is then the mean gradient, which a worker also sees for what it does not train. All workers must see the same.
statistics enumerate(const sharded_gradient& data, const std::vector<std::vector<int>>& draws, const sdp::assignment& holders)
{
    const std::size_t n = data.full.size();
    const auto masks = masks_of(holders, n);
    const sdp::parameter_id id {};
    vector start(n);
    for (std::size_t i = 0; i < n; ++i)
        start[i] = oracle::number(oracle::hash(99, i));

    std::vector<statistics> seen(static_cast<std::size_t>(holders.world()), {vector(n), vector(n)});
    sdp::run_workers(holders.world(), [&](sdp::thread_communicator communicator) {
        const auto rank = static_cast<std::size_t>(communicator.rank());
        sdp::data_parallel parallel(model_of(n), given {holders}, sdp::backward_masking {}, communicator);
        const bool trains = parallel.subnetwork().trains(id);
        vector x(n), gradient(n);
        parallel.bind(id, x);
        if (trains)
            parallel.bind_gradient(id, gradient);
        for (const auto& draw : draws) {
            x = start;
            gradient = data.of_shard[static_cast<std::size_t>(draw[rank])];
            if (trains)
                parallel.ready(id);
            parallel.finish();
            for (std::size_t i = 0; i < n; ++i)
                if (has(masks[i], static_cast<int>(rank)))
                    x[i] -= gradient[i];
            parallel.publish_values();
            const auto count = static_cast<double>(draws.size());
            for (std::size_t i = 0; i < n; ++i) {
                const double moved = start[i] - x[i];
                seen[rank].mean[i] += moved / count;
                seen[rank].variance[i] += (moved - data.full[i]) * (moved - data.full[i]) / count;
            }
        }
    });
    for (const auto& s : seen) {
        CHECK(distance(s.mean, seen.front().mean) == 0);
        CHECK(distance(s.variance, seen.front().variance) == 0);
    }
    return seen.front();
}

/// Every way to give one of `shards` shards to each of `world` workers, independently.
std::vector<std::vector<int>> independent_draws(int world, int shards)
{
    std::vector<std::vector<int>> out;
    std::vector<int> draw(static_cast<std::size_t>(world), 0);
    for (;;) {
        out.push_back(draw);
        std::size_t at = 0;
        while (at < draw.size() && ++draw[at] == shards)
            draw[at++] = 0;
        if (at == draw.size())
            return out;
    }
}

/// Every way to give each of `world` workers a shard of its own.
std::vector<std::vector<int>> permutations(int world)
{
    std::vector<std::vector<int>> out;
    std::vector<int> draw(static_cast<std::size_t>(world));
    std::iota(draw.begin(), draw.end(), 0);
    do
        out.push_back(draw);
    while (std::next_permutation(draw.begin(), draw.end()));
    return out;
}

/// Neurons held by 1, 2, … and all of the workers.
std::vector<rank_mask> all_sizes(int world)
{
    std::vector<rank_mask> out;
    for (rank_mask set = 1; set <= oracle::everyone(world); ++set)
        out.push_back(set);
    return out;
}

} // namespace

TEST_CASE("backward masking: unbiased, and the noise of a unit falls as 1/k, over all independent draws of shards")
{
    constexpr int world = 4, shards = 4;
    const auto masks = all_sizes(world);
    const sharded_gradient data(masks.size(), shards, 21);
    const auto draws = independent_draws(world, shards);
    REQUIRE(draws.size() == 256);
    const auto seen = enumerate(data, draws, by_hand(world, masks));
    CHECK(distance(seen.mean, data.full) < tight);
    for (std::size_t i = 0; i < masks.size(); ++i) {
        CAPTURE(masks[i]);
        CHECK(seen.variance[i] == doctest::Approx(data.variance[i] / oracle::count(masks[i])).epsilon(tight));
    }
}

TEST_CASE("backward masking: unbiased over all orders of the workers, and without noise where all hold")
{
    constexpr int world = 5;
    const auto masks = all_sizes(world);
    const sharded_gradient data(masks.size(), world, 22);
    const auto draws = permutations(world);
    REQUIRE(draws.size() == 120);
    const auto seen = enumerate(data, draws, by_hand(world, masks));
    CHECK(distance(seen.mean, data.full) < tight);
    for (std::size_t i = 0; i < masks.size(); ++i) {
        // Drawn without replacement: the finite-population factor.
        const double k = oracle::count(masks[i]);
        const double expected = data.variance[i] / k * (world - k) / (world - 1);
        CAPTURE(masks[i]);
        CHECK(std::fabs(seen.variance[i] - expected) < tight * data.variance[i] + 1e-24);
    }
}

TEST_CASE("backward masking: unbiased for the library's own partition")
{
    constexpr int world = 4;
    const auto holders = split(20, world, 2, 23);
    const sharded_gradient data(20, world, 24);
    const auto seen = enumerate(data, permutations(world), holders);
    CHECK(distance(seen.mean, data.full) < tight);
}
