// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Balances blocks over the workers.

#include <sdp/partition/block.hpp>
#include <sdp/partition/detail/balanced_design.hpp>
#include <sdp/partition/detail/dealt_design.hpp>
#include <sdp/partition/detail/selection.hpp>
#include <sdp/src/separate.hpp>

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

namespace sdp::detail {

/// Assigns units of different cost to k workers each and minimises the load of the heaviest worker.
///
/// Assigns the costliest unit first, to the least loaded workers; then exchanges units to relieve the heaviest worker; and
/// restarts from shuffled orders. All limits count steps and not time, so every platform finds the same arrangement. The
/// tests compare the result with all arrangements where these can be counted, and an exhaustive search has not been needed.
class balanced_design {
public:
    balanced_design(std::vector<double> costs, int world, int k, std::uint64_t seed)
        : costs_(std::move(costs))
        , world_(world)
        , k_(k)
        , random_(seed)
        , everyone_(rank_set::all(world).ranks())
    {
        mean_ = std::accumulate(costs_.begin(), costs_.end(), 0.0) * k / world;
        order_.resize(costs_.size());
        std::iota(order_.begin(), order_.end(), std::size_t {0});
    }

    [[nodiscard]] std::vector<design_unit> find()
    {
        // Bounds the work to about 10^7 elementary steps at any size.
        const double work = static_cast<double>(costs_.size()) * world_;
        const int restarts = static_cast<int>(std::clamp(2e5 / work, 1.0, 64.0));
        std::vector<design_unit> best;
        double best_load = 0;
        const auto keep = [&](std::vector<design_unit> found) {
            const double load = heaviest(found);
            if (best.empty() || load < best_load) {
                best = std::move(found);
                best_load = load;
            }
        };
        for (int i = 0; i < restarts && (best.empty() || best_load > mean_ * 1.0001); ++i) {
            auto found = greedy(i);
            connect(found, world_);
            improve(found);
            keep(std::move(found));
        }
        return best;
    }

private:
    [[nodiscard]] std::vector<double> loads(const std::vector<design_unit>& units) const
    {
        std::vector<double> out(static_cast<std::size_t>(world_), 0.0);
        for (const auto& u : units)
            for (const int rank : u.holders)
                out[static_cast<std::size_t>(rank)] += u.cost;
        return out;
    }

    [[nodiscard]] double heaviest(const std::vector<design_unit>& units) const
    {
        const auto all = loads(units);
        return *std::max_element(all.begin(), all.end());
    }

    void order_by_cost()
    {
        random_.shuffle(order_);
        detail::stable_sort(order_.begin(), order_.end(), [&](auto a, auto b) { return costs_[a] > costs_[b]; });
    }

    [[nodiscard]] std::vector<design_unit> empty_units() const
    {
        std::vector<design_unit> out;
        for (const double cost : costs_)
            out.push_back({cost, 0, {}, &everyone_});
        return out;
    }

    [[nodiscard]] std::vector<design_unit> greedy(int attempt)
    {
        order_by_cost();
        // Later attempts start from a slightly disturbed order: they swap neighbours.
        for (int i = 0; i < attempt && order_.size() > 1; ++i) {
            const auto at = random_.below(order_.size() - 1);
            std::swap(order_[at], order_[at + 1]);
        }
        auto units = empty_units();
        std::vector<double> load(static_cast<std::size_t>(world_), 0.0);
        for (const std::size_t u : order_) {
            units[u].holders = choose_first(everyone_, k_, random_,
                [&](int a, int b) { return load[static_cast<std::size_t>(a)] < load[static_cast<std::size_t>(b)]; });
            for (const int rank : units[u].holders)
                load[static_cast<std::size_t>(rank)] += costs_[u];
        }
        return units;
    }

    /// Moves a unit away from the heaviest worker, or exchanges it for a lighter one, while this lowers the maximum and keeps
    /// connected workers connected.
    void improve(std::vector<design_unit>& units)
    {
        auto load = loads(units);
        const bool keep_connected = connected(units, world_);
        const std::size_t rounds = 8 * units.size() + 64;
        for (std::size_t round = 0; round < rounds; ++round) {
            const int from = static_cast<int>(std::max_element(load.begin(), load.end()) - load.begin());
            const double top = load[static_cast<std::size_t>(from)];
            constexpr auto none = static_cast<std::size_t>(-1);
            struct step {
                std::size_t give = none, take = none;
                int to = -1;
                double shift = 0;
            };
            std::vector<std::pair<double, step>> steps;
            for (std::size_t a = 0; a < units.size(); ++a) {
                if (!units[a].held_by(from))
                    continue;
                for (int to = 0; to < world_; ++to) {
                    if (units[a].held_by(to))
                        continue;
                    const double other = load[static_cast<std::size_t>(to)];
                    const auto consider = [&](std::size_t b, double shift) {
                        const double after = (std::max)(top - shift, other + shift);
                        if (after < top * (1 - 1e-12))
                            steps.push_back({after, {a, b, to, shift}});
                    };
                    consider(none, units[a].cost);
                    for (std::size_t b = 0; b < units.size(); ++b)
                        if (b != a && units[b].held_by(to) && !units[b].held_by(from) && units[b].cost < units[a].cost)
                            consider(b, units[a].cost - units[b].cost);
                }
                if (steps.size() > 4096)
                    break;
            }
            detail::stable_sort(steps.begin(), steps.end(), [](const auto& x, const auto& y) { return x.first < y.first; });
            bool moved = false;
            for (const auto& [after, s] : steps) {
                const auto apply = [&](int out, int in) {
                    units[s.give].replace(out, in);
                    if (s.take != none)
                        units[s.take].replace(in, out);
                };
                apply(from, s.to);
                if (!keep_connected || connected(units, world_)) {
                    load[static_cast<std::size_t>(from)] -= s.shift;
                    load[static_cast<std::size_t>(s.to)] += s.shift;
                    moved = true;
                    break;
                }
                apply(s.to, from);
            }
            if (!moved)
                return;
        }
    }

    std::vector<double> costs_;
    int world_;
    int k_;
    portable_random random_;
    std::vector<int> everyone_;
    std::vector<std::size_t> order_;
    double mean_ = 0;
};

} // namespace sdp::detail

namespace sdp {

SDP_INLINE assignment block_partition::operator()(const model& m, int world) const
{
    assignment out(m, world);
    const int k = holders_for(coverage, holders, world);
    const auto selected = detail::select_blocks(m, blocks);
    std::vector<double> costs;
    for (const block_id b : selected)
        costs.push_back(m.cost(b));
    if (design != holder_design::random) {
        detail::check_divisions(design, divisions);
        detail::check_reach(design, selected.size(), k, world);
        detail::portable_random random(seed);
        const auto order = detail::make_deal_order(design, rank_set::all(world).ranks(), k, divisions, selected.size(), random);
        const auto sets = detail::deal_by_cost(order, costs, world);
        for (std::size_t i = 0; i < selected.size(); ++i)
            out.assign(selected[i], order.sets[sets[i]]);
        return out;
    }
    const auto units = detail::balanced_design(std::move(costs), world, k, seed).find();
    for (std::size_t i = 0; i < selected.size(); ++i)
        out.assign(selected[i], rank_set(units[i].holders));
    return out;
}

} // namespace sdp
