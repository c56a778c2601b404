// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Eigenvalues of the matrices that describe connectivity.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
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

} // namespace sdp::detail
