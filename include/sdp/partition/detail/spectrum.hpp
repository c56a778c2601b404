// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Eigenvalues of the matrices that describe connectivity.

#include <sdp/partition/detail/number_table.hpp>
#include <sdp/partition/detail/weighted_sets.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

namespace sdp::detail {

/// Eigenvalues of a symmetric matrix, descending, by Jacobi rotations. Row-major, destroyed.
[[nodiscard]] inline std::vector<double> symmetric_eigenvalues(std::vector<double>& a, std::size_t n)
{
    const auto at = [&](std::size_t i, std::size_t j) -> double& { return a[i * n + j]; };
    for (int sweep = 0; sweep < 100; ++sweep) {
        double off = 0;
        for (std::size_t i = 0; i < n; ++i)
            for (std::size_t j = i + 1; j < n; ++j)
                off += at(i, j) * at(i, j);
        if (off < 1e-26)
            break;
        for (std::size_t p = 0; p < n; ++p)
            for (std::size_t q = p + 1; q < n; ++q) {
                if (at(p, q) == 0)
                    continue;
                const double theta = (at(q, q) - at(p, p)) / (2 * at(p, q));
                const double t = std::copysign(1.0, theta) / (std::abs(theta) + std::hypot(theta, 1.0));
                const double c = 1 / std::hypot(t, 1.0), s = t * c;
                for (std::size_t i = 0; i < n; ++i) {
                    const double x = at(i, p), y = at(i, q);
                    at(i, p) = c * x - s * y;
                    at(i, q) = s * x + c * y;
                }
                for (std::size_t i = 0; i < n; ++i) {
                    const double x = at(p, i), y = at(q, i);
                    at(p, i) = c * x - s * y;
                    at(q, i) = s * x + c * y;
                }
            }
    }
    std::vector<double> out(n);
    for (std::size_t i = 0; i < n; ++i)
        out[i] = at(i, i);
    std::sort(out.rbegin(), out.rend());
    return out;
}

/// The largest eigenvalue of a symmetric tridiagonal matrix, by bisection on the number of negative pivots.
[[nodiscard]] inline double largest_eigenvalue(std::span<const double> diagonal, std::span<const double> beside)
{
    double low = diagonal[0], high = diagonal[0];
    for (std::size_t i = 0; i < diagonal.size(); ++i) {
        const double radius = (i > 0 ? std::abs(beside[i - 1]) : 0) + (i + 1 < diagonal.size() ? std::abs(beside[i]) : 0);
        low = (std::max)(low, diagonal[i]); // the largest eigenvalue is no smaller than any diagonal entry
        high = (std::max)(high, diagonal[i] + radius);
    }
    for (int step = 0; step < 80 && high - low > 1e-16 * std::abs(high); ++step) {
        const double middle = low + (high - low) / 2;
        bool above = false; // some eigenvalue is above the middle
        double pivot = 1;
        for (std::size_t i = 0; i < diagonal.size() && !above; ++i) {
            const double before = i == 0 ? 0 : beside[i - 1] * beside[i - 1] / pivot;
            pivot = diagonal[i] - middle - before;
            if (pivot == 0)
                pivot = -1e-300;
            above = pivot > 0;
        }
        (above ? low : high) = middle;
    }
    return low + (high - low) / 2;
}

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

} // namespace sdp::detail
