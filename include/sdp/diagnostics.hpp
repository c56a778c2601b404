// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Costs of an arrangement, computed without running it.

#include <sdp/detail/elements/wire.hpp>
#include <sdp/overlap/make_plan.hpp>
#include <sdp/partition/connectivity.hpp>
#include <sdp/synchronizer_options.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <span>
#include <vector>

namespace sdp {

/// The number of units for each number of holders. Pinned groups and blocks count as one unit each.
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

/// The elements that one worker keeps.
struct worker_share {
    index_t stored = 0; ///< elements whose value it keeps
    index_t trained = 0; ///< elements with gradient and, under `average`, optimizer state
    index_t owned = 0; ///< elements with optimizer state under `owner_update`
    index_t stored_maskable = 0; ///< of `stored`, elements of parameters that can be split
    index_t trained_maskable = 0;
    std::uint64_t value_bytes = 0;
    std::uint64_t gradient_bytes = 0;
    std::uint64_t optimizer_bytes = 0;
};

namespace detail {

    /// The elements of one sharing class within one parameter, and the rule that deals them to its trainers.
    struct class_part {
        const parameter& of;
        const residents& who;
        std::uint64_t elements;
        dealt_shares shares; ///< by position of the trainers
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
                visit(class_part {m.parameters()[p], who, elements,
                    {elements, static_cast<std::uint64_t>(who.trained.size()), before[number]}});
            }
        }
    }

} // namespace detail

/// The elements that each worker keeps, with an optimizer of that many state tensors per gradient (2 for Adam, 0 for plain SGD).
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
            const std::uint64_t owned = part.shares.owned_by(position++);
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

/// Bytes that one worker sends in a step, computed from the formula alone. A synchronizer's counters show the same number.
///
/// For P elements with trainers T (k = |T|) and readers R = stored ∖ trained, let a trainer own o elements (P/k, rounded up or
/// down, to whole grains above 256 trainers). Under `average` it sends (P − o) + o(k−1) gradients, or P if k = 2, and o·|R|
/// values; under `owner_update` it sends (P − o) gradients and o(k−1+|R|) values. Summed over the workers this is 2(k−1)P
/// gradients. A gradient has the size of the wire format. Formula: ours, from the averaging over holders of the paper.
[[nodiscard]] inline std::uint64_t bytes_per_step(
    const model& m, const residency& r, int rank, update_mode mode = update_mode::average, wire_format wire = wire_format::as_is)
{
    std::uint64_t bytes = 0;
    detail::for_each_class(m, r, [&](const detail::class_part& part) {
        if (!part.who.trained.contains(rank))
            return;
        const auto ranks = part.who.trained.ranks();
        const std::uint64_t k = part.shares.of.trainers, readers = static_cast<std::uint64_t>(part.who.stored.size()) - k;
        const std::uint64_t own = part.shares.owned_by(
            static_cast<std::uint64_t>(std::lower_bound(ranks.begin(), ranks.end(), rank) - ranks.begin()));
        const std::uint64_t reduced = part.elements - own;
        const std::uint64_t back = own * (k - 1);
        const bool owners_update = mode == update_mode::owner_update;
        const std::uint64_t gradients = owners_update ? reduced : k == 2 ? part.elements : reduced + back;
        const std::uint64_t values = own * readers + (owners_update ? back : 0);
        bytes += gradients * detail::wire_size(part.of.type(), wire) + values * size_of(part.of.type());
    });
    return bytes;
}

/// The load of the heaviest worker divided by the mean load, by the costs of the units each holds; 1 is perfect.
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

} // namespace sdp
