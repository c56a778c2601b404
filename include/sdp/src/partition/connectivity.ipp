// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Computes how well an arrangement connects the workers.

#include <sdp/partition/connectivity.hpp>
#include <sdp/partition/detail/spectrum.hpp>
#include <sdp/partition/detail/weighted_sets.hpp>
#include <sdp/src/separate.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace sdp {

SDP_INLINE std::vector<int> peers_per_worker(const assignment& a)
{
    const auto units = detail::count_units(a);
    const auto world = static_cast<std::size_t>(a.world());
    std::vector<std::vector<const rank_set*>> sets_of(world);
    for (const auto* const set : units.sets)
        for (const int rank : set->ranks())
            sets_of[static_cast<std::size_t>(rank)].push_back(set);
    std::vector<int> out;
    std::vector<rank_set::interval> met;
    for (const auto& sets : sets_of) {
        met.clear();
        for (const auto* const set : sets)
            met.insert(met.end(), set->intervals().begin(), set->intervals().end());
        std::sort(met.begin(), met.end());
        int count = 0, next = 0;
        for (const auto& i : met) {
            count += (std::max)(0, i.end - (std::max)(i.begin, next));
            next = (std::max)(next, i.end);
        }
        out.push_back((std::max)(0, count - 1)); // without the worker itself
    }
    return out;
}

SDP_INLINE bool is_connected(const assignment& a)
{
    const auto world = static_cast<std::size_t>(a.world());
    std::vector<std::size_t> parent(world);
    std::iota(parent.begin(), parent.end(), std::size_t {0});
    const auto root = [&](int rank) {
        auto node = static_cast<std::size_t>(rank);
        while (parent[node] != node)
            node = parent[node] = parent[parent[node]];
        return node;
    };
    std::size_t parts = world;
    for (const auto* const set : detail::count_units(a).sets) {
        const auto ranks = set->ranks();
        for (const int rank : ranks) {
            const auto x = root(rank), y = root(ranks.front());
            parts -= x == y ? 0 : 1;
            parent[x] = y;
        }
    }
    return parts == 1;
}

SDP_INLINE double spectral_gap(const assignment& a)
{
    constexpr std::size_t dense = 128;
    const auto n = static_cast<std::size_t>(a.world());
    if (n == 1)
        return 1;
    const auto units = detail::count_units(a);
    const auto degree = detail::spread(units, n);
    if (!is_connected(a))
        return 0; // a worker may share nothing
    if (n > dense)
        return std::clamp(1 - detail::second_eigenvalue(units, degree), 0.0, 1.0);
    std::vector<double> w(n * n, 0.0);
    for (std::size_t s = 0; s < units.sets.size(); ++s) {
        const auto ranks = units.sets[s]->ranks();
        for (const int i : ranks)
            for (const int j : ranks)
                w[static_cast<std::size_t>(i) * n + static_cast<std::size_t>(j)]
                    += units.weights[s] / static_cast<double>(ranks.size());
    }
    // This matrix is similar to W and symmetric: D_w^{-1/2} (A D_u⁻¹ Aᵀ) D_w^{-1/2}.
    for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = 0; j < n; ++j)
            w[i * n + j] /= std::sqrt(degree[i] * degree[j]);
    return std::clamp(1 - detail::symmetric_eigenvalues(w, n)[1], 0.0, 1.0);
}

} // namespace sdp
