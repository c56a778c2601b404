// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief What an arrangement costs and how well it is connected, computed without running it.

#include <sdp/detail/wire.hpp>
#include <sdp/overlap/build.hpp>
#include <sdp/synchronizer_options.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <span>
#include <vector>

namespace sdp {

/// How many units have how many holders: pinned groups and blocks count as one unit each.
[[nodiscard]] inline std::map<int, std::size_t> holders_histogram(const assignment& a)
{
    std::map<int, std::size_t> out;
    for (std::size_t g = 0; g < a.group_count(); ++g)
        for (const auto& unit : a.units(group_id(g)))
            out[a.holders(unit).size()] += unit.count;
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
        std::uint64_t first_owner; ///< position of the trainer that gets the first share

        [[nodiscard]] std::uint64_t holders() const { return static_cast<std::uint64_t>(who.trained.size()); }

        /// What the trainer at that position owns. The longer shares go round from parameter to parameter, so that in the whole
        /// model nobody owns more than one grain above another.
        [[nodiscard]] std::uint64_t owned(std::uint64_t position) const
        {
            const std::uint64_t k = holders();
            return shares {elements, k}.size((position + k - first_owner) % k);
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
                before[number] += shares {elements, k}.grains();
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
/// down, to whole grains above 256 trainers): under `average` it sends (P − o) + o(k−1) gradients, or P if k = 2, and o·|R|
/// values; under `owner_update` (P − o) gradients and o(k−1+|R|) values. Summed over the workers the gradients come to 2(k−1)P.
/// A gradient has the size of the wire format. Formula: ours, from the averaging over holders of the paper.
[[nodiscard]] inline std::uint64_t bytes_per_step(
    const model& m, const residency& r, int rank, update_mode mode = update_mode::average, wire_format wire = wire_format::as_is)
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
        const std::uint64_t back = own * (k - 1);
        const bool owners_update = mode == update_mode::owner_update;
        const std::uint64_t gradients = owners_update ? reduced : k == 2 ? part.elements : reduced + back;
        const std::uint64_t values = own * readers + (owners_update ? back : 0);
        bytes += gradients * detail::wire_size(part.of.type(), wire) + values * size_of(part.of.type());
    });
    return bytes;
}

namespace detail {

    /// The holder sets of what a policy assigned, and how much each holds: all that balance and connectivity depend on.
    struct weighted_sets {
        std::vector<const rank_set*> sets;
        std::vector<double> weights;
    };

    /// `of_units(group, unit)` and `of_block(block)` are what is summed for each set.
    template <class Units, class Block> [[nodiscard]] weighted_sets weigh(const assignment& a, Units of_units, Block of_block)
    {
        std::vector<double> by_number(a.holder_set_count(), 0.0);
        std::vector<std::uint32_t> order; // as they are met, so that sums do not depend on numbers
        const auto add = [&](std::uint32_t number, double weight) {
            if (by_number[number] == 0)
                order.push_back(number);
            by_number[number] += weight;
        };
        for (std::size_t g = 0; g < a.group_count(); ++g)
            if (a.partitioned(group_id(g)))
                for (const auto& u : a.units(group_id(g)))
                    add(u.holders, of_units(group_id(g), u));
        for (std::size_t b = 0; b < a.block_count(); ++b)
            if (a.partitioned(block_id(b)))
                add(a.holders_number(block_id(b)), of_block(block_id(b)));
        weighted_sets out;
        for (const auto number : order) {
            out.sets.push_back(&a.holders(number));
            out.weights.push_back(by_number[number]);
        }
        return out;
    }

    /// Holder sets of the partitioned units, by how many units have each.
    [[nodiscard]] inline weighted_sets count_units(const assignment& a)
    {
        return weigh(
            a, [](group_id, const assignment::unit& u) { return static_cast<double>(u.count); }, [](block_id) { return 1.0; });
    }

    /// For each worker the sum of the weights of its sets. Linear in intervals and workers.
    [[nodiscard]] inline std::vector<double> spread(const weighted_sets& w, std::size_t world)
    {
        std::vector<double> out(world + 1, 0.0);
        for (std::size_t s = 0; s < w.sets.size(); ++s)
            for (const auto& i : w.sets[s]->intervals()) {
                out[static_cast<std::size_t>(i.begin)] += w.weights[s];
                out[static_cast<std::size_t>(i.end)] -= w.weights[s];
            }
        std::partial_sum(out.begin(), out.end(), out.begin());
        out.pop_back();
        return out;
    }

} // namespace detail

/// Heaviest worker's load over the mean load, by the costs of the units each holds; 1 is perfect.
[[nodiscard]] inline double balance(const model& m, const assignment& a)
{
    const auto load = detail::spread(
        detail::weigh(
            a, [&](group_id g, const assignment::unit& u) { return static_cast<double>(u.end - u.begin) * m.cost_per_neuron(g); },
            [&](block_id b) { return m.cost(b); }),
        static_cast<std::size_t>(a.world()));
    const double sum = std::accumulate(load.begin(), load.end(), 0.0);
    return sum > 0 ? *std::max_element(load.begin(), load.end()) * a.world() / sum : 1.0;
}

/// How many others each worker shares a unit with, and so exchanges with for what is split. Pinned units do not count: what
/// is pinned is shared with everybody. O(S log S) for each worker, with S the intervals of its holder sets.
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
            count += std::max(0, i.end - std::max(i.begin, next));
            next = std::max(next, i.end);
        }
        out.push_back(std::max(0, count - 1)); // itself
    }
    return out;
}

namespace detail {

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
            low = std::max(low, diagonal[i]); // no eigenvalue is the largest below a diagonal entry
            high = std::max(high, diagonal[i] + radius);
        }
        for (int step = 0; step < 80 && high - low > 1e-16 * std::abs(high); ++step) {
            const double middle = low + (high - low) / 2;
            bool above = false; // some eigenvalue is
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

    /// λ₂ by Lanczos iteration on D_w^{-1/2} A D_u⁻¹ Aᵀ D_w^{-1/2}, whose first eigenvector √D_w is known and kept out. The
    /// matrix is never made: a product is one walk over the intervals of the sets. Iterates without orthogonalisation against
    /// all before; that finds eigenvalues more than once, which is no matter for the largest.
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
        for (std::size_t i = 0; i < n; ++i) // any start that is not orthogonal to what is looked for
            v[i] = static_cast<double>(scattered(i + 1) >> 11) * 0x1p-53 - 0.5;
        add(v, -dot(v, first), first);
        const double length = std::sqrt(dot(v, v));
        for (auto& x : v)
            x /= length;

        double value = 0;
        for (std::size_t step = 1, look = 16;; ++step) {
            // next = D_w^{-1/2} A D_u⁻¹ Aᵀ D_w^{-1/2} v, with sums over intervals from one prefix sum.
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

/// Whether averaging over the holders can carry information from every worker to every other. Pinned units do not count.
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

/// ρ = 1 − λ₂(W), W = D_w⁻¹ A D_u⁻¹ Aᵀ, with A the workers × units incidence and D its row and column sums: how fast
/// averaging mixes the workers. 0 if they are not connected, 1 if each unit is held by all. Definition: ours; the paper's own
/// was not to be found. Pinned units do not count.
///
/// Up to 128 workers from all eigenvalues, cubic in the workers; above by iteration, linear in workers and holder sets for each
/// of some dozen steps, or some thousands where the gap is tiny. The iteration comes from above and stops when half as many
/// steps again change it by less than 10⁻⁶ of itself; the tests hold it to 10⁻⁴.
[[nodiscard]] inline double spectral_gap(const assignment& a)
{
    constexpr std::size_t dense = 128;
    const auto n = static_cast<std::size_t>(a.world());
    if (n == 1)
        return 1;
    const auto units = detail::count_units(a);
    const auto degree = detail::spread(units, n);
    if (!is_connected(a))
        return 0; // perhaps somebody shares nothing at all
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
    // Similar to W and symmetric: D_w^{-1/2} (A D_u⁻¹ Aᵀ) D_w^{-1/2}.
    for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = 0; j < n; ++j)
            w[i * n + j] /= std::sqrt(degree[i] * degree[j]);
    return std::clamp(1 - detail::symmetric_eigenvalues(w, n)[1], 0.0, 1.0);
}

} // namespace sdp
