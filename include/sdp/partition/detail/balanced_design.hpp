// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Balanced holder sets for the neuron and block policies: draws them, and connects separate components.
///
/// Holder sets are never drawn independently: with few units, some unit would have no holder and some workers would hold most
/// units. Every unit has exactly k holders, the least loaded workers, and randomness decides only between equals.

#include <sdp/partition/detail/portable_random.hpp>
#include <sdp/partition/rank_set.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

namespace sdp::detail {

/// A unit while its holders are chosen.
struct design_unit {
    double cost = 1;
    std::size_t kind = 0; ///< units of one kind (one neuron group, say) are exchanged first when components are joined
    std::vector<int> holders; ///< ascending
    const std::vector<int>* candidates = nullptr; ///< the only ranks that may hold it, ascending

    void replace(int before, int after)
    {
        *std::find(holders.begin(), holders.end(), before) = after;
        std::sort(holders.begin(), holders.end());
    }
    [[nodiscard]] bool held_by(int rank) const { return std::binary_search(holders.begin(), holders.end(), rank); }
    [[nodiscard]] bool may_be_held_by(int rank) const { return std::binary_search(candidates->begin(), candidates->end(), rank); }
};

/// The first k candidates in the order `before`; randomness decides between equals.
template <class Before>
[[nodiscard]] std::vector<int> choose_first(const std::vector<int>& candidates, int k, portable_random& random, Before before)
{
    auto order = candidates;
    random.shuffle(order);
    if (static_cast<std::size_t>(k) < order.size()) {
        // Selects the first k of a stable sort in linear time: equals keep the order of the shuffle.
        struct place {
            int candidate;
            std::size_t at;
        };
        std::vector<place> places;
        places.reserve(order.size());
        for (std::size_t i = 0; i < order.size(); ++i)
            places.push_back({order[i], i});
        std::nth_element(places.begin(), places.begin() + (k - 1), places.end(), [&](const place& a, const place& b) {
            return before(a.candidate, b.candidate) || (!before(b.candidate, a.candidate) && a.at < b.at);
        });
        for (std::size_t i = 0; i < static_cast<std::size_t>(k); ++i)
            order[i] = places[i].candidate;
    }
    order.resize(static_cast<std::size_t>(k));
    std::sort(order.begin(), order.end());
    return order;
}

/// The bipartite graph of workers and units, and its connected components.
class design_graph {
public:
    design_graph(const std::vector<design_unit>& units, int world)
        : parent_(static_cast<std::size_t>(world) + units.size())
        , world_(static_cast<std::size_t>(world))
    {
        std::iota(parent_.begin(), parent_.end(), std::size_t {0});
        parts_ = parent_.size();
        for (std::size_t u = 0; u < units.size(); ++u)
            for (const int rank : units[u].holders)
                if (!join(world_ + u, static_cast<std::size_t>(rank)))
                    spare_.push_back({u, rank});
    }

    struct edge {
        std::size_t unit;
        int rank;
    };

    [[nodiscard]] std::size_t parts() const noexcept { return parts_; }
    /// Edges (unit, holder) that can be removed without disconnecting the graph.
    [[nodiscard]] const std::vector<edge>& spare() const noexcept { return spare_; }
    [[nodiscard]] std::size_t part_of_rank(int rank) { return root(static_cast<std::size_t>(rank)); }
    [[nodiscard]] std::size_t part_of_unit(std::size_t unit) { return root(world_ + unit); }

private:
    std::size_t root(std::size_t node)
    {
        while (parent_[node] != node)
            node = parent_[node] = parent_[parent_[node]];
        return node;
    }
    bool join(std::size_t a, std::size_t b)
    {
        a = root(a);
        b = root(b);
        if (a == b)
            return false;
        parent_[a] = b;
        --parts_;
        return true;
    }

    std::vector<std::size_t> parent_;
    std::vector<edge> spare_;
    std::size_t world_;
    std::size_t parts_ = 0;
};

/// True if workers 0 … world−1 are connected through the units they hold.
[[nodiscard]] inline bool connected(const std::vector<design_unit>& units, int world)
{
    return design_graph(units, world).parts() == 1;
}

/// Joins the components of the graph by exchanging holders. The number of holders of a unit does not change.
///
/// A spare edge (a, x) of one component and any edge (b, y) of another become (a, y) and (b, x). The first component remains
/// connected without its spare edge, and both sides of the second, y's and b's, are then connected to it. Spare edges run out
/// only if the holdings are too few to connect everything, U(k−1) < N−1, so the exchange succeeds whenever this is possible and
/// the candidates allow it. It prefers units of one kind and similar cost.
inline void connect(std::vector<design_unit>& units, int world)
{
    for (;;) {
        design_graph graph(units, world);
        if (graph.parts() == 1 || graph.spare().empty())
            return;

        constexpr auto none = static_cast<std::size_t>(-1);
        constexpr double other_kind = 1e200;
        constexpr double never = std::numeric_limits<double>::infinity();
        struct exchange {
            design_graph::edge take {none, -1};
            design_graph::edge give {none, -1}; // no unit: the rank holds nothing
            double price = never;
        } best;
        // Any pair joins two components. A sample keeps huge models fast and still finds units of equal cost.
        constexpr std::size_t sample = 256;
        const auto& spare = graph.spare();
        const std::size_t step = spare.size() / sample + 1;
        for (std::size_t i = 0; i < spare.size(); i += step) {
            const auto [a, x] = spare[i];
            const auto part = graph.part_of_unit(a);
            std::size_t looked_at = 0;
            for (std::size_t b = 0; b < units.size() && looked_at < sample; ++b) {
                if (graph.part_of_unit(b) == part || !units[b].may_be_held_by(x))
                    continue;
                ++looked_at;
                const double price = std::abs(units[a].cost - units[b].cost) + (units[a].kind == units[b].kind ? 0 : other_kind);
                for (const int y : units[b].holders)
                    if (price < best.price && units[a].may_be_held_by(y))
                        best = {{a, x}, {b, y}, price};
            }
            for (int y = 0; y < world && best.price == never; ++y)
                if (graph.part_of_rank(y) != part && units[a].may_be_held_by(y)
                    && std::none_of(units.begin(), units.end(), [y](const design_unit& u) { return u.held_by(y); }))
                    best = {{a, x}, {none, y}, 2 * other_kind};
        }
        if (best.price == never)
            return;
        units[best.take.unit].replace(best.take.rank, best.give.rank);
        if (best.give.unit != none)
            units[best.give.unit].replace(best.give.rank, best.take.rank);
    }
}

} // namespace sdp::detail
