// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The bounded designs `cells` and `cyclic`: holder sets with few peers, and the sequence that deals units to them.

#include <sdp/partition/detail/portable_random.hpp>
#include <sdp/partition/detail/stable_sort.hpp>
#include <sdp/partition/rank_set.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

namespace sdp::detail {

/// Holder sets, and the cyclic sequence in which units are dealt to them.
struct deal_order {
    std::vector<rank_set> sets;
    std::vector<std::uint32_t> sequence; ///< index into `sets`
    std::vector<std::size_t> rounds; ///< positions where a round begins, and the end; a worker has one turn at most in a round
};

/// Makes deal orders of the design `cells` over the given workers.
class cell_design {
public:
    cell_design(const std::vector<int>& workers, int k, int divisions)
        : workers_(workers)
        , n_(workers.size())
        , k_(static_cast<std::size_t>(k))
        , full_(n_ % k_ == 0 ? n_ / k_ : n_ / k_ - 1)
        , ring_(n_ - full_ * k_)
        , divisions_(k_ == 1 || k_ == n_ ? 1 : static_cast<std::size_t>(divisions))
    {
    }

    /// Makes the deal order for `units` units in all, whose number decides which cells have to connect the workers.
    [[nodiscard]] deal_order make(std::uint64_t units, portable_random& random)
    {
        draw(random);
        deal_order out;
        add_sequence(out);
        if (k_ > 1 && k_ < n_)
            connect(out, units, random);
        add_sets(out);
        return out;
    }

private:
    /// Permutes the workers once per division: consecutive workers form a cell, and the last `ring_` form a ring. No worker is in
    /// a second ring as long as some worker is in none.
    void draw(portable_random& random)
    {
        std::vector<std::uint32_t> order(n_);
        std::vector<bool> in_ring(n_, false);
        for (std::size_t d = 0; d < divisions_; ++d) {
            std::iota(order.begin(), order.end(), 0U);
            random.shuffle(order);
            std::size_t other = 0;
            for (std::size_t i = n_ - ring_; i < n_; ++i) {
                if (in_ring[order[i]]) {
                    while (other < n_ - ring_ && in_ring[order[other]])
                        ++other;
                    if (other < n_ - ring_)
                        std::swap(order[i], order[other++]);
                }
                in_ring[order[i]] = true;
            }
            order_.push_back(order);
        }
    }

    /// A ring of s workers has s/k turns for every turn of a cell, and continues in the next round: its holders are always the
    /// next k workers, so their loads are as even as those of the other workers.
    void add_sequence(deal_order& out) const
    {
        const std::size_t common = std::gcd(n_, k_), windows = ring_ / common;
        const std::size_t rounds = ring_ == 0 ? 1 : k_ / common;
        for (std::size_t round = 0; round < rounds; ++round)
            for (std::size_t d = 0; d < divisions_; ++d) {
                out.rounds.push_back(out.sequence.size());
                const std::size_t first = d * (full_ + windows);
                for (std::size_t cell = 0; cell < full_; ++cell)
                    out.sequence.push_back(static_cast<std::uint32_t>(first + cell));
                for (std::size_t turn = round * ring_ / k_; turn < (round + 1) * ring_ / k_; ++turn)
                    out.sequence.push_back(static_cast<std::uint32_t>(first + full_ + turn * k_ % ring_ / common));
            }
        out.rounds.push_back(out.sequence.size());
    }

    void add_sets(deal_order& out) const
    {
        const std::size_t common = std::gcd(n_, k_);
        std::vector<int> ranks(k_);
        for (const auto& order : order_) {
            const auto rank = [&](std::size_t at) { return workers_[order[at]]; };
            for (std::size_t cell = 0; cell < full_; ++cell) {
                for (std::size_t i = 0; i < k_; ++i)
                    ranks[i] = rank(cell * k_ + i);
                out.sets.emplace_back(ranks);
            }
            for (std::size_t start = 0; start < ring_; start += common) {
                for (std::size_t i = 0; i < k_; ++i)
                    ranks[i] = rank(full_ * k_ + (start + i) % ring_);
                out.sets.emplace_back(ranks);
            }
        }
    }

    /// Joins the components of the workers by exchanging two workers of one division, which preserves the cells.
    ///
    /// A position in a cell is spare if its worker is connected to that cell in another way as well. Exchanging the worker of a
    /// spare position with any worker of another component joins the two, and all other spare positions remain spare. They run
    /// out only if the dealt cells are too few to connect everything, U(k−1) < N−1.
    void connect(const deal_order& order, std::uint64_t units, portable_random& random)
    {
        const std::size_t common = std::gcd(n_, k_), windows = ring_ / common, cells = full_ + 1;
        // Counts the occupied positions, by division and cell. The ring counts as one cell: its first turn fills the first k
        // positions and its second fills all.
        std::vector<std::size_t> used(divisions_ * cells, 0);
        const std::size_t dealt = static_cast<std::size_t>(std::min<std::uint64_t>(units, order.sequence.size()));
        for (std::size_t i = 0; i < dealt; ++i) {
            const std::size_t d = order.sequence[i] / (full_ + windows), set = order.sequence[i] % (full_ + windows);
            auto& places = used[d * cells + (std::min)(set, full_)];
            places = set < full_ ? k_ : places == 0 ? k_ : ring_;
        }

        std::vector<std::uint32_t> parent(n_ + used.size());
        std::iota(parent.begin(), parent.end(), 0U);
        const auto root = [&](std::size_t node) {
            while (parent[node] != node)
                node = parent[node] = parent[parent[node]];
            return node;
        };
        struct place {
            std::size_t division, at;
        };
        std::vector<place> spare;
        for (std::size_t d = 0; d < divisions_; ++d)
            for (std::size_t cell = 0; cell < cells; ++cell)
                for (std::size_t i = 0; i < used[d * cells + cell]; ++i) {
                    const std::size_t at = cell * k_ + i, a = root(order_[d][at]), b = root(n_ + d * cells + cell);
                    if (a == b)
                        spare.push_back({d, at});
                    else
                        parent[a] = static_cast<std::uint32_t>(b);
                }

        // Lists the components by their first worker, those with spare positions first.
        std::vector<std::vector<place>> spares_of(parent.size());
        for (const auto& s : spare)
            spares_of[root(order_[s.division][s.at])].push_back(s);
        std::vector<std::uint32_t> parts;
        std::vector<bool> seen(parent.size(), false);
        for (std::uint32_t worker = 0; worker < n_; ++worker)
            if (!seen[root(worker)]) {
                seen[root(worker)] = true;
                parts.push_back(worker);
            }
        if (parts.size() == 1)
            return;
        detail::stable_sort(parts.begin(), parts.end(),
            [&](auto a, auto b) { return !spares_of[root(a)].empty() && spares_of[root(b)].empty(); });
        std::vector<std::vector<std::size_t>> at_of(divisions_, std::vector<std::size_t>(n_));
        for (std::size_t d = 0; d < divisions_; ++d)
            for (std::size_t at = 0; at < n_; ++at)
                at_of[d][order_[d][at]] = at;

        auto available = std::move(spares_of[root(parts.front())]);
        for (std::size_t i = 1; i < parts.size() && !available.empty(); ++i) {
            std::swap(available.back(), available[random.below(available.size())]);
            const auto [d, at] = available.back();
            available.pop_back();
            const std::uint32_t taken = order_[d][at], given = parts[i];
            std::swap(order_[d][at], order_[d][at_of[d][given]]);
            std::swap(at_of[d][taken], at_of[d][given]);
            const auto& more = spares_of[root(given)];
            available.insert(available.end(), more.begin(), more.end());
        }
    }

    const std::vector<int>& workers_;
    std::size_t n_;
    std::size_t k_;
    std::size_t full_; ///< cells of exactly k workers
    std::size_t ring_; ///< workers in the ring; 0 if k divides N
    std::size_t divisions_;
    std::vector<std::vector<std::uint32_t>> order_; ///< by division: positions in `workers_`
};

/// Makes the deal order of the design `cyclic` for `units` units in all.
[[nodiscard]] inline deal_order cyclic_order(const std::vector<int>& workers, int holders, std::uint64_t units)
{
    const std::size_t n = workers.size(), k = static_cast<std::size_t>(holders), common = std::gcd(n, k);
    std::vector<std::size_t> starts;
    const bool apart = k > 1 && k < n && common == k; // adjacent disjoint windows would never overlap
    const std::size_t all = apart ? 2 * n / k : n / common;
    if (units < all) {
        // Spaces the windows evenly, which overlaps them if any arrangement can connect the workers; consecutive windows start
        // about k apart.
        const auto few = static_cast<std::size_t>(units);
        std::size_t step = std::max<std::size_t>(1, (k * few + n / 2) / n);
        while (std::gcd(step, few) != 1)
            ++step;
        for (std::size_t j = 0; j < few; ++j)
            starts.push_back(j * step % few * n / few);
    } else
        for (std::size_t j = 0; j < all; ++j)
            starts.push_back((j * k + (j * k >= n && apart ? k / 2 : 0)) % n);
    deal_order out;
    std::vector<int> ranks(k);
    for (std::size_t j = 0; j < starts.size(); ++j) {
        if (j % (n / k) == 0)
            out.rounds.push_back(j);
        for (std::size_t i = 0; i < k; ++i)
            ranks[i] = workers[(starts[j] + i) % n];
        out.sequence.push_back(static_cast<std::uint32_t>(j));
        out.sets.emplace_back(ranks);
    }
    out.rounds.push_back(out.sequence.size());
    return out;
}

/// Assigns each unit of different cost to a set: deals the heaviest units first, and in every pass gives the heavier units to the
/// less loaded sets. Loads then differ by little more than the heaviest unit.
[[nodiscard]] inline std::vector<std::uint32_t> deal_by_cost(const deal_order& l, const std::vector<double>& costs, int world)
{
    std::vector<std::size_t> order(costs.size());
    std::iota(order.begin(), order.end(), std::size_t {0});
    detail::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return costs[a] > costs[b]; });
    std::vector<double> load(static_cast<std::size_t>(world), 0.0);
    std::vector<std::uint32_t> out(costs.size());
    for (std::size_t next = 0, round = 0; next < order.size(); round = (round + 1) % (l.rounds.size() - 1)) {
        const std::size_t turns = (std::min)(l.rounds[round + 1] - l.rounds[round], order.size() - next);
        std::vector<std::pair<double, std::uint32_t>> sets; // load before the pass
        for (const auto set : std::span(l.sequence).subspan(l.rounds[round], turns)) {
            double held = 0;
            for (const int rank : l.sets[set].ranks())
                held += load[static_cast<std::size_t>(rank)];
            sets.push_back({held, set});
        }
        detail::stable_sort(sets.begin(), sets.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
        for (const auto& [before, set] : sets) {
            const std::size_t unit = order[next++];
            out[unit] = set;
            for (const int rank : l.sets[set].ranks())
                load[static_cast<std::size_t>(rank)] += costs[unit];
        }
    }
    return out;
}

} // namespace sdp::detail
