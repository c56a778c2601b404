// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief What an arrangement costs and how well it is connected, computed without running it.

#include <sdp/overlap/build.hpp>
#include <sdp/synchronizer_options.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <vector>

namespace sdp {

/// How many units have how many holders: pinned groups and blocks count as one unit each.
[[nodiscard]] inline std::map<int, std::size_t> holders_histogram(const assignment& a)
{
    std::map<int, std::size_t> out;
    for (std::size_t g = 0; g < a.group_count(); ++g)
        for (const auto& unit : a.units(group_id(g)))
            ++out[a.holders(unit).size()];
    for (std::size_t b = 0; b < a.block_count(); ++b)
        ++out[a.holders(block_id(b)).size()];
    return out;
}

/// What one worker keeps.
struct worker_share {
    index_t stored = 0; ///< elements whose value it keeps
    index_t trained = 0; ///< elements with gradient and, under `average`, optimizer state
    index_t owned = 0; ///< elements with optimizer state under `owner_update`
    index_t stored_maskable = 0; ///< of `stored`, those of parameters that may be split
    index_t trained_maskable = 0;
    std::uint64_t value_bytes = 0;
    std::uint64_t gradient_bytes = 0;
    std::uint64_t optimizer_bytes = 0;
};

namespace detail {

    /// The elements of one class within one parameter, and how they are dealt to its trainers.
    struct class_part {
        const parameter& of;
        const residents& who;
        std::uint64_t elements;
        std::uint64_t first_owner; ///< position of the trainer that gets the first of the elements left over

        [[nodiscard]] std::uint64_t holders() const { return static_cast<std::uint64_t>(who.trained.size()); }

        /// What the trainer at that position owns. The elements left over by an equal deal go round from parameter to
        /// parameter, so that in the whole model nobody owns more than one element above another.
        [[nodiscard]] std::uint64_t owned(std::uint64_t position) const
        {
            const std::uint64_t k = holders();
            return elements / k + ((position + k - first_owner) % k < elements % k ? 1 : 0);
        }
    };

    /// Calls `visit(part)` for every parameter and class.
    template <class Visit> void for_each_class(const model& m, const residency& r, Visit visit)
    {
        strip_cutter cutter(m, r, [](const residents&) { return true; });
        std::map<std::uint32_t, std::uint64_t> before, here;
        for (std::size_t p = 0; p < m.parameters().size(); ++p) {
            here.clear();
            for (const auto& s : cutter.cut(parameter_id(p)))
                here[s.residents] += s.elements();
            for (const auto& [number, elements] : here) {
                const auto& who = cutter.classes()[number];
                const auto k = static_cast<std::uint64_t>(who.trained.size());
                visit(class_part {m.parameters()[p], who, elements, before[number] % k});
                before[number] += elements;
            }
        }
    }

} // namespace detail

/// What each worker keeps, with an optimizer of that many state tensors per gradient (2 for Adam, 0 for plain SGD).
[[nodiscard]] inline std::vector<worker_share> worker_shares(
    const model& m, const residency& r, update_mode mode = update_mode::average, int optimizer_states = 2)
{
    std::vector<worker_share> out(static_cast<std::size_t>(r.world()));
    detail::for_each_class(m, r, [&](const detail::class_part& part) {
        const std::uint64_t bytes = size_of(part.of.type());
        const auto elements = static_cast<index_t>(part.elements);
        for (const int rank : part.who.stored.ranks()) {
            auto& w = out[static_cast<std::size_t>(rank)];
            w.stored += elements;
            w.stored_maskable += part.of.maskable() ? elements : 0;
            w.value_bytes += part.elements * bytes;
        }
        std::uint64_t position = 0;
        for (const int rank : part.who.trained.ranks()) {
            auto& w = out[static_cast<std::size_t>(rank)];
            const std::uint64_t owned = part.owned(position++);
            w.trained += elements;
            w.trained_maskable += part.of.maskable() ? elements : 0;
            w.owned += static_cast<index_t>(owned);
            w.gradient_bytes += part.elements * bytes;
            w.optimizer_bytes
                += (mode == update_mode::average ? part.elements : owned) * bytes * static_cast<std::uint64_t>(optimizer_states);
        }
    });
    return out;
}

/// Bytes that one worker sends in a step, from the formula alone; a synchronizer's counters show the same number.
///
/// P elements with trainers T (k = |T|) and readers R = stored ∖ trained, of which a trainer owns o (P/k, rounded up or
/// down): under `average` it sends (P − o) + o(k−1) gradients, or P if k = 2, and o·|R| values; under `owner_update` (P − o)
/// gradients and o(k−1+|R|) values. Summed over the workers the gradients come to 2(k−1)P. Formula: ours, from the averaging
/// over holders of the paper.
[[nodiscard]] inline std::uint64_t bytes_per_step(
    const model& m, const residency& r, int rank, update_mode mode = update_mode::average)
{
    std::uint64_t bytes = 0;
    detail::for_each_class(m, r, [&](const detail::class_part& part) {
        if (!part.who.trained.contains(rank))
            return;
        const auto ranks = part.who.trained.ranks();
        const std::uint64_t k = part.holders(), readers = static_cast<std::uint64_t>(part.who.stored.size()) - k;
        const std::uint64_t own
            = part.owned(static_cast<std::uint64_t>(std::lower_bound(ranks.begin(), ranks.end(), rank) - ranks.begin()));
        const std::uint64_t reduced = part.elements - own;
        const std::uint64_t sent = mode == update_mode::owner_update ? reduced + own * (k - 1 + readers)
            : k == 2                                                 ? part.elements + own * readers
                                                                     : reduced + own * (k - 1 + readers);
        bytes += sent * size_of(part.of.type());
    });
    return bytes;
}

/// Heaviest worker's load over the mean load, by the costs of the units each holds; 1 is perfect.
[[nodiscard]] inline double balance(const model& m, const assignment& a)
{
    std::vector<double> load(static_cast<std::size_t>(a.world()), 0.0);
    const auto add = [&](const rank_set& holders, double cost) {
        for (const int rank : holders.ranks())
            load[static_cast<std::size_t>(rank)] += cost;
    };
    for (std::size_t g = 0; g < a.group_count(); ++g)
        if (a.partitioned(group_id(g)))
            for (const auto& u : a.units(group_id(g)))
                add(a.holders(u), static_cast<double>(u.end - u.begin) * m.cost_per_neuron(group_id(g)));
    for (std::size_t b = 0; b < a.block_count(); ++b)
        if (a.partitioned(block_id(b)))
            add(a.holders(block_id(b)), m.cost(block_id(b)));
    const double sum = std::accumulate(load.begin(), load.end(), 0.0);
    return sum > 0 ? *std::max_element(load.begin(), load.end()) * a.world() / sum : 1.0;
}

namespace detail {

    /// Holder sets of the partitioned units with how many units have each: all that connectivity depends on.
    [[nodiscard]] inline std::map<rank_set, double> unit_counts(const assignment& a)
    {
        std::map<rank_set, double> out;
        for (std::size_t g = 0; g < a.group_count(); ++g)
            if (a.partitioned(group_id(g)))
                for (const auto& u : a.units(group_id(g)))
                    out[a.holders(u)] += 1;
        for (std::size_t b = 0; b < a.block_count(); ++b)
            if (a.partitioned(block_id(b)))
                out[a.holders(block_id(b))] += 1;
        return out;
    }

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

} // namespace detail

/// Whether averaging over the holders can carry information from every worker to every other. Pinned units do not count.
[[nodiscard]] inline bool is_connected(const assignment& a)
{
    std::vector<int> reached {0};
    std::vector<bool> seen(static_cast<std::size_t>(a.world()), false);
    seen[0] = true;
    const auto units = detail::unit_counts(a);
    for (std::size_t next = 0; next < reached.size(); ++next)
        for (const auto& [holders, count] : units)
            if (holders.contains(reached[next]))
                for (const int rank : holders.ranks())
                    if (!seen[static_cast<std::size_t>(rank)]) {
                        seen[static_cast<std::size_t>(rank)] = true;
                        reached.push_back(rank);
                    }
    return reached.size() == static_cast<std::size_t>(a.world());
}

/// ρ = 1 − λ₂(W), W = D_w⁻¹ A D_u⁻¹ Aᵀ, with A the workers × units incidence and D its row and column sums: how fast
/// averaging mixes the workers. 0 if they are not connected, 1 if each unit is held by all. Cubic in the number of workers.
/// Definition: ours; the paper's own was not to be found. Pinned units do not count.
[[nodiscard]] inline double spectral_gap(const assignment& a)
{
    const auto n = static_cast<std::size_t>(a.world());
    std::vector<double> degree(n, 0.0), w(n * n, 0.0);
    for (const auto& [holders, count] : detail::unit_counts(a)) {
        const auto ranks = holders.ranks();
        for (const int i : ranks) {
            degree[static_cast<std::size_t>(i)] += count;
            for (const int j : ranks)
                w[static_cast<std::size_t>(i) * n + static_cast<std::size_t>(j)] += count / static_cast<double>(ranks.size());
        }
    }
    if (n == 1)
        return 1;
    if (std::find(degree.begin(), degree.end(), 0.0) != degree.end())
        return 0; // somebody shares nothing
    // Similar to W and symmetric: D_w^{-1/2} (A D_u⁻¹ Aᵀ) D_w^{-1/2}.
    for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = 0; j < n; ++j)
            w[i * n + j] /= std::sqrt(degree[i] * degree[j]);
    return std::clamp(1 - detail::symmetric_eigenvalues(w, n)[1], 0.0, 1.0);
}

} // namespace sdp
