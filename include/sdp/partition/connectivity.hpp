// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Connectivity of an arrangement: peers of each worker, and the rate at which averaging mixes the workers.

#include <sdp/partition/detail/spectrum.hpp>
#include <sdp/partition/detail/weighted_sets.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace sdp {

/// For each worker the number of others that hold one of its units, and with whom it therefore exchanges. Pinned units do not
/// count, because all workers share them. O(S log S) per worker, with S the intervals of its holder sets.
[[nodiscard]] inline std::vector<int> peers_per_worker(const assignment& a)
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

namespace detail {

    /// Computes λ₂ by Lanczos iteration on D_w^{-1/2} A D_u⁻¹ Aᵀ D_w^{-1/2}, whose first eigenvector √D_w is known and projected
    /// out. The matrix is never formed: a product is one pass over the intervals of the sets. The iteration does not
    /// orthogonalise against all earlier vectors. It therefore finds some eigenvalues repeatedly, which does not affect the
    /// largest.
    [[nodiscard]] inline double second_eigenvalue(const weighted_sets& units, const std::vector<double>& degree)
    {
        const std::size_t n = degree.size();
        std::vector<double> first(n), v(n), before(n, 0.0), next(n), prefix(n + 1), change(n + 1), diagonal, beside;
        const double total = std::accumulate(degree.begin(), degree.end(), 0.0);
        for (std::size_t i = 0; i < n; ++i)
            first[i] = std::sqrt(degree[i] / total);
        const auto dot = [n](const std::vector<double>& a, const std::vector<double>& b) {
            double sum = 0;
            for (std::size_t i = 0; i < n; ++i)
                sum += a[i] * b[i];
            return sum;
        };
        const auto add = [n](std::vector<double>& to, double factor, const std::vector<double>& from) {
            for (std::size_t i = 0; i < n; ++i)
                to[i] += factor * from[i];
        };
        for (std::size_t i = 0; i < n; ++i) // any start vector that is not orthogonal to the wanted eigenvector
            v[i] = static_cast<double>(mix64(i + 1) >> 11) * 0x1p-53 - 0.5;
        add(v, -dot(v, first), first);
        const double length = std::sqrt(dot(v, v));
        for (auto& x : v)
            x /= length;

        double value = 0;
        for (std::size_t step = 1, look = 16;; ++step) {
            // Computes next = D_w^{-1/2} A D_u⁻¹ Aᵀ D_w^{-1/2} v, with sums over intervals from one prefix sum.
            prefix[0] = 0;
            for (std::size_t i = 0; i < n; ++i)
                prefix[i + 1] = prefix[i] + v[i] / std::sqrt(degree[i]);
            std::fill(change.begin(), change.end(), 0.0);
            for (std::size_t s = 0; s < units.sets.size(); ++s) {
                double sum = 0;
                int size = 0;
                for (const auto& i : units.sets[s]->intervals()) {
                    sum += prefix[static_cast<std::size_t>(i.end)] - prefix[static_cast<std::size_t>(i.begin)];
                    size += i.end - i.begin;
                }
                const double mean = units.weights[s] * sum / size;
                for (const auto& i : units.sets[s]->intervals()) {
                    change[static_cast<std::size_t>(i.begin)] += mean;
                    change[static_cast<std::size_t>(i.end)] -= mean;
                }
            }
            double running = 0;
            for (std::size_t i = 0; i < n; ++i) {
                running += change[i];
                next[i] = running / std::sqrt(degree[i]);
            }
            add(next, -dot(next, first), first);
            const double alpha = dot(next, v);
            add(next, -alpha, v);
            if (!beside.empty())
                add(next, -beside.back(), before);
            diagonal.push_back(alpha);
            const double beta = std::sqrt(dot(next, next));
            const bool exhausted = beta < 1e-13 || step >= 20'000;
            if (step == look || exhausted) {
                const double found = largest_eigenvalue(diagonal, beside);
                if (exhausted || found - value <= 1e-6 * (1 - found))
                    return found;
                value = found;
                look += look / 2;
            }
            beside.push_back(beta);
            std::swap(before, v);
            std::swap(v, next);
            for (auto& x : v)
                x /= beta;
        }
    }

} // namespace detail

/// True if averaging over the holders carries information from every worker to every other. Pinned units do not count.
[[nodiscard]] inline bool is_connected(const assignment& a)
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

/// The spectral gap ρ = 1 − λ₂(W), W = D_w⁻¹ A D_u⁻¹ Aᵀ, with A the workers × units incidence and D its row and column sums. It
/// says how fast averaging mixes the workers: 0 if they are not connected, 1 if all workers hold each unit. The definition is
/// ours; the paper's own could not be found. Pinned units do not count.
///
/// Up to 128 workers all eigenvalues are computed, cubic in the workers. Above, an iteration is used, linear in workers and
/// holder sets per step, with some dozens of steps, or some thousands where the gap is tiny. The iteration approaches the gap
/// from above and stops when half as many further steps change it by less than 10⁻⁶ of its value; the tests bound its error by
/// 10⁻⁴.
[[nodiscard]] inline double spectral_gap(const assignment& a)
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
