// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Random models, assignments, regimes and options: one scenario per seed, the same on every platform.

#include <sdp/masking/regime.hpp>
#include <sdp/partition/block.hpp>
#include <sdp/partition/nested.hpp>
#include <sdp/partition/neuron.hpp>
#include <sdp/partition/policy.hpp>
#include <sdp/synchronizer.hpp>

#include "oracle.hpp"

#include <chrono>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

namespace oracle {

/// Source of the holders in a scenario.
enum class source { pinned, neuron, block, nested, combined, by_hand };

enum class regime_kind { forward, backward, mixed };

inline std::string name_of(source s)
{
    static const char* const names[] = {"pinned", "neuron", "block", "nested", "combined", "by hand"};
    return names[static_cast<int>(s)];
}
inline std::string name_of(regime_kind r)
{
    static const char* const names[] = {"forward", "backward", "mixed"};
    return names[static_cast<int>(r)];
}

/// A user's own regime: per unit name, one of
/// - as forward masking,
/// - as backward masking,
/// - the holders train, and one or two further workers keep a copy,
/// - of the holders only the first half trains, the others keep a copy.
struct mixed_regime {
    std::uint64_t seed = 0;

    static int kind(std::uint64_t seed, std::string_view name)
    {
        for (const char c : name)
            seed = mix(seed ^ static_cast<unsigned char>(c));
        return static_cast<int>((seed >> 20) % 4);
    }

    [[nodiscard]] sdp::rank_set stored_by(const sdp::unit_view& u) const
    {
        switch (kind(seed, u.name)) {
        case 1:
            return sdp::rank_set::all(u.world);
        case 2: {
            auto ranks = u.holders.ranks();
            ranks.push_back(static_cast<int>(seed % static_cast<std::uint64_t>(u.world)));
            ranks.push_back(u.world - 1);
            return sdp::rank_set(ranks);
        }
        default:
            return u.holders;
        }
    }
    [[nodiscard]] sdp::rank_set trained_by(const sdp::unit_view& u) const
    {
        auto ranks = u.holders.ranks();
        if (kind(seed, u.name) == 3)
            ranks.resize((ranks.size() + 1) / 2);
        return sdp::rank_set(ranks);
    }
};

/// The same regimes for the simulation, told in masks.
inline rule rule_of(regime_kind kind, std::uint64_t seed)
{
    const auto holders = [](std::string_view, bool, rank_mask set, int) { return set; };
    const auto all = [](std::string_view, bool, rank_mask, int world) { return everyone(world); };
    switch (kind) {
    case regime_kind::forward:
        return {holders, holders};
    case regime_kind::backward:
        return {all, holders};
    case regime_kind::mixed:
        break;
    }
    return {
        [seed](std::string_view name, bool, rank_mask set, int world) {
            switch (mixed_regime::kind(seed, name)) {
            case 1:
                return everyone(world);
            case 2:
                return set | (rank_mask(1) << (seed % static_cast<std::uint64_t>(world))) | (rank_mask(1) << (world - 1));
            default:
                return set;
            }
        },
        [seed](std::string_view name, bool, rank_mask set, int world) {
            if (mixed_regime::kind(seed, name) != 3)
                return set;
            rank_mask out = 0;
            const int half = (count(set) + 1) / 2;
            for (int rank = 0; rank < world && count(out) < half; ++rank)
                if (has(set, rank))
                    out |= rank_mask(1) << rank;
            return out;
        },
    };
}

/// A policy that hands out an assignment made beforehand.
struct prepared {
    sdp::assignment given;
    sdp::assignment operator()(const sdp::model&, int) const { return given; }
};

/// Contents of the tensors.
enum class elements { floats, doubles, both };

inline std::string name_of(elements e)
{
    static const char* const names[] = {"float", "double", "float and double"};
    return names[static_cast<int>(e)];
}

struct scenario {
    std::uint64_t seed = 0;
    std::uint64_t habits = 0; ///< of the workers: another number, another order of calls and other strides, but the same numbers
    bool contiguous = false; ///< no tensor has strides of its own
    sdp::model model;
    int world = 1;
    source from = source::pinned;
    sdp::assignment holders;
    regime_kind regime = regime_kind::forward;
    sdp::synchronizer_options options;
    elements type = elements::floats;
    int steps = 2;
    averaging how;
    bool several_nodes = false; ///< not all workers reach each other's memory

    [[nodiscard]] rule rules() const { return rule_of(regime, seed); }
    [[nodiscard]] bool owner_update() const { return options.update == sdp::update_mode::owner_update; }
    [[nodiscard]] bool split() const { return options.local.layout == sdp::value_layout::split; }

    [[nodiscard]] std::string describe() const
    {
        return "seed " + std::to_string(seed) + ": " + std::to_string(world) + " workers, " + name_of(from) + ", "
            + name_of(regime) + (split() ? ", split" : ", whole") + (owner_update() ? ", owner update" : ", average")
            + (how.over_world ? ", mean over the world" : ", mean over the holders")
            + (how.weights.empty() ? ", " : ", weighted, ") + name_of(type) + ", " + std::to_string(how.micro_batches)
            + " micro-batches, buckets of " + std::to_string(options.bucket_bytes) + " bytes, route "
            + std::string(name_of(options.route)) + (options.shared_gradients ? ", shared gradients" : "");
    }
};

/// A model whose parameters have at most a few hundred elements, but for a rare one of several thousand. With `nestable`, every
/// group lies inside one block or outside all of them.
inline sdp::model random_model(sequence& random, bool nestable, elements type)
{
    sdp::model m;
    struct home {
        std::optional<sdp::block_id> block;
        std::vector<std::pair<sdp::group_id, index_t>> groups;
    };
    std::vector<home> homes(1);
    const int blocks = random.chance(25) ? 0 : random.between(1, 4);
    for (int b = 0; b < blocks; ++b)
        homes.push_back({m.add_block("block." + std::to_string(b), random.chance(20) ? random.between(1, 50) : 0), {}});
    const int groups = random.chance(15) && blocks > 0 ? 0 : random.between(1, 4);
    for (int g = 0; g < groups; ++g) {
        const index_t neurons = random.between(1, 12);
        const auto name = (random.chance(50) ? "ffn." : "heads.") + std::to_string(g);
        const auto id = m.add_group(name, neurons, random.chance(20) ? random.between(1, 9) : 0);
        homes[static_cast<std::size_t>(random.below(static_cast<int>(homes.size())))].groups.emplace_back(id, neurons);
    }

    struct declaration {
        sdp::extents shape;
        sdp::placement where;
    };
    std::vector<declaration> declared;
    const auto declare = [&](std::optional<sdp::block_id> block, std::vector<std::pair<sdp::group_id, index_t>> on) {
        while (on.size() > 1
            && std::accumulate(on.begin(), on.end(), index_t {1}, [](index_t n, const auto& g) { return n * g.second; }) > 200)
            on.pop_back();
        declaration d;
        d.where.within = block;
        if (type == elements::doubles || (type == elements::both && random.chance(50)))
            d.where.type = sdp::element_type::f64;
        const int axes = std::max(static_cast<int>(on.size()), random.between(on.empty() ? 0 : 1, 4));
        std::vector<int> places;
        for (int axis = 0; axis < axes; ++axis)
            places.push_back(axis);
        random.shuffle(places);
        std::vector<index_t> shape(static_cast<std::size_t>(axes));
        index_t size = 1;
        for (std::size_t i = 0; i < places.size(); ++i) {
            index_t extent = 1;
            if (i < on.size()) {
                const index_t each = size * on[i].second > 60 ? 1 : random.between(1, 3);
                extent = on[i].second * each;
                d.where.axes.push_back({places[i], on[i].first, random.chance(50) ? each : 0});
            } else if (size < 100)
                extent = random.between(1, 5);
            shape[static_cast<std::size_t>(places[i])] = extent;
            size *= extent;
        }
        d.shape = sdp::extents(shape);
        declared.push_back(std::move(d));
    };

    for (const auto& h : homes) {
        for (std::size_t g = 0; g < h.groups.size(); ++g)
            for (int i = random.between(1, 3); i > 0; --i) {
                std::vector<std::pair<sdp::group_id, index_t>> on {h.groups[g]};
                for (std::size_t other = 0; other < h.groups.size(); ++other)
                    if (other != g && on.size() < 3 && random.chance(30))
                        on.push_back(h.groups[other]);
                declare(h.block, on);
            }
        if (h.block && (h.groups.empty() || random.chance(60)))
            for (int i = random.between(1, 2); i > 0; --i)
                declare(h.block, {});
    }
    if (!nestable && random.chance(60)) {
        // The same neurons in several places: across blocks, or in and out of one.
        std::vector<std::pair<sdp::group_id, index_t>> all;
        for (const auto& h : homes)
            all.insert(all.end(), h.groups.begin(), h.groups.end());
        random.shuffle(all);
        all.resize(std::min<std::size_t>(all.size(), static_cast<std::size_t>(random.between(1, 2))));
        if (!all.empty())
            declare(homes[static_cast<std::size_t>(random.below(static_cast<int>(homes.size())))].block, all);
    }
    for (int i = random.between(declared.empty() ? 1 : 0, 3); i > 0; --i)
        declare(std::nullopt, {});

    // Now and then one that is worked on in several stretches, on whatever axes.
    if (random.chance(8) && !declared.empty()) {
        auto& d = declared[static_cast<std::size_t>(random.below(static_cast<int>(declared.size())))];
        auto shape = std::vector<index_t>(d.shape.begin(), d.shape.end());
        if (shape.size() < 4) {
            // In front, the split axes become short rows; at the end, they select long ones.
            const bool front = random.chance(70);
            shape.insert(front ? shape.begin() : shape.end(), random.between(2000, 6000) / d.shape.product() + 2);
            for (auto& axis : d.where.axes)
                axis.axis += front ? 1 : 0;
            d.shape = sdp::extents(shape);
        }
    }

    // Some axes are fused: all their elements of a neuron lie in up to three parts. Draws apart, so that nothing else
    // changes.
    auto fuse = random;
    for (auto& d : declared)
        for (auto& axis : d.where.axes) {
            auto rest = d.shape[static_cast<std::size_t>(axis.axis)] / m[axis.group].neurons;
            if (rest == 1 || !fuse.chance(40))
                continue;
            while (rest > 0) {
                axis.fused.push_back(fuse.between(1, static_cast<int>(rest)));
                rest -= axis.fused.back();
            }
        }

    random.shuffle(declared);
    for (std::size_t i = 0; i < declared.size(); ++i)
        m.add_parameter("parameter." + std::to_string(i), declared[i].shape, declared[i].where);
    return m;
}

/// Any non-empty set, which contains `anchor` unless that is negative.
inline sdp::rank_set random_holders(sequence& random, int world, int anchor)
{
    std::vector<int> ranks;
    const int percent = random.between(10, 90);
    for (int rank = 0; rank < world; ++rank)
        if (rank == anchor || random.chance(percent))
            ranks.push_back(rank);
    if (ranks.empty())
        ranks.push_back(random.below(world));
    return sdp::rank_set(ranks);
}

/// Holders drawn without any design: uneven k, uneven units, some groups and blocks left pinned.
inline sdp::assignment random_assignment(sequence& random, const sdp::model& m, int world)
{
    sdp::assignment out(m, world);
    // A rank that holds everything makes sure that intersections are not empty; mostly wanted, as nothing can be trained
    // otherwise, and sometimes not, as that must be refused.
    const int anchor = random.chance(m.blocks().empty() ? 60 : 85) ? random.below(world) : -1;
    for (std::size_t g = 0; g < m.groups().size(); ++g) {
        if (random.chance(10))
            continue;
        std::vector<sdp::neuron_unit> units;
        const index_t neurons = m.groups()[g].neurons;
        const int longest = random.between(1, 4);
        for (index_t at = 0; at < neurons;) {
            const index_t end = std::min(neurons, at + random.between(1, longest));
            units.push_back({at, end, random_holders(random, world, anchor)});
            at = end;
        }
        out.assign(sdp::group_id(g), units);
    }
    for (std::size_t b = 0; b < m.blocks().size(); ++b)
        if (!random.chance(10))
            out.assign(sdp::block_id(b), random_holders(random, world, anchor));
    return out;
}

inline bool has_group(const sdp::model& m, std::string_view prefix)
{
    for (const auto& g : m.groups())
        if (g.name.starts_with(prefix))
            return true;
    return false;
}

inline double coverage_of(int holders, int world)
{
    return static_cast<double>(holders) / world;
}

inline sdp::assignment planned_assignment(sequence& random, source from, const sdp::model& m, int world)
{
    const int k = random.between(1, world);
    const auto seed = random.bits();
    switch (from) {
    case source::neuron: {
        const sdp::neuron_partition policy {.coverage = coverage_of(k, world), .granularity = random.between(1, 3), .seed = seed};
        return policy(m, world);
    }
    case source::block: {
        const sdp::block_partition policy {.coverage = coverage_of(k, world), .seed = seed};
        return policy(m, world);
    }
    case source::nested: {
        // The same share must be whole for the k holders of a block and, if a group is outside all blocks, for all workers.
        bool outside = false;
        for (std::size_t g = 0; g < m.groups().size(); ++g)
            outside = outside || !m.enclosing_block(sdp::group_id(g));
        std::vector<int> shares;
        for (int share = 1; share <= k; ++share)
            if (!outside || share * world % k == 0)
                shares.push_back(share);
        const int share = shares[static_cast<std::size_t>(random.below(static_cast<int>(shares.size())))];
        const sdp::nested_partition policy {.outer = {.coverage = coverage_of(k, world), .seed = seed},
            .inner = {.coverage = coverage_of(share, k), .granularity = random.between(1, 2), .seed = seed}};
        return policy(m, world);
    }
    case source::combined: {
        // A policy that selects nothing is an error, so each kind of group is asked for only where the model has it.
        const sdp::neuron_partition ffn {.coverage = coverage_of(k, world), .seed = seed, .groups = "ffn.*"};
        const sdp::neuron_partition heads {
            .coverage = coverage_of(random.between(1, world), world), .seed = seed, .groups = "heads.*"};
        const sdp::block_partition blocks {.coverage = coverage_of(random.between(1, world), world), .seed = seed};
        const bool has_ffn = has_group(m, "ffn."), has_heads = has_group(m, "heads."), has_blocks = !m.blocks().empty();
        if (has_ffn && has_heads && has_blocks)
            return sdp::combined(ffn, heads, blocks)(m, world);
        if (has_ffn && has_heads)
            return sdp::combined(ffn, heads)(m, world);
        if (has_ffn && has_blocks)
            return sdp::combined(ffn, blocks)(m, world);
        if (has_heads && has_blocks)
            return sdp::combined(blocks, heads)(m, world);
        return sdp::combined()(m, world);
    }
    case source::by_hand:
        return random_assignment(random, m, world);
    case source::pinned:
        break;
    }
    return sdp::assignment(m, world);
}

/// Weights of all kinds: counts, fractions, tiny and huge ones, and 0 for workers that had no data, though never for all.
inline std::vector<double> random_weights(sequence& random, int world)
{
    std::vector<double> out;
    const bool whole = random.chance(50);
    // Some far outside of what a float holds.
    const double unit = random.chance(10) ? std::ldexp(1.0, random.chance(50) ? 200 : -200) : 1.0;
    for (int rank = 0; rank < world; ++rank)
        out.push_back(random.chance(15) ? 0.0 : unit * (whole ? random.between(1, 64) : std::fabs(number(random.bits()))));
    if (std::all_of(out.begin(), out.end(), [](double w) { return w == 0; }))
        out.front() = unit;
    return out;
}

/// The scenario of a seed. `world` fixes the number of workers; 0 draws 2 … 9.
inline scenario random_scenario(std::uint64_t seed, int world = 0)
{
    sequence random(seed);
    if (world == 0)
        world = random.between(2, 9);

    const int draw = random.below(100);
    auto from = draw < 40 ? source::by_hand
        : draw < 56       ? source::neuron
        : draw < 70       ? source::block
        : draw < 85       ? source::nested
        : draw < 96       ? source::combined
                          : source::pinned;
    const int which = random.below(100);
    const auto type = which < 55 ? elements::floats : which < 80 ? elements::doubles : elements::both;
    auto m = random_model(random, from == source::nested, type);
    if ((from == source::neuron && m.groups().empty()) || (from == source::block && m.blocks().empty())
        || (from == source::nested && (m.groups().empty() || m.blocks().empty())))
        from = source::by_hand;
    auto holders = planned_assignment(random, from, m, world);
    scenario out {.seed = seed,
        .model = std::move(m),
        .world = world,
        .from = from,
        .holders = std::move(holders),
        .options = {},
        .how = {}};
    out.regime = static_cast<regime_kind>(random.below(3));
    out.type = type;
    out.steps = random.between(2, 3);
    out.options.local.layout = random.chance(50) ? sdp::value_layout::split : sdp::value_layout::whole;
    // An owner's shard is one flat buffer, so it has one element type.
    out.options.update = type != elements::both && random.chance(40) ? sdp::update_mode::owner_update : sdp::update_mode::average;
    out.options.normalizer = random.chance(30) ? sdp::normalizer::world : sdp::normalizer::holders;
    static constexpr std::size_t sizes[] = {1, 64, 256, 1024, 4096, std::size_t(4) << 20};
    out.options.bucket_bytes = sizes[random.below(6)];
    out.options.local.buckets_in_flight = random.between(1, 5);
    static constexpr sdp::route_choice routes[]
        = {sdp::route_choice::fastest, sdp::route_choice::memory, sdp::route_choice::swap, sdp::route_choice::two_sided};
    out.options.route = routes[mix(seed ^ 0x5D9) % 4];
    out.options.shared_gradients = mix(seed ^ 0x3B1) % 4 == 0;
    out.options.local.timeout = std::chrono::minutes(2); // a hang fails within the test's own limit
    out.how.over_world = out.options.normalizer == sdp::normalizer::world;
    out.how.micro_batches = random.chance(30) ? random.between(2, 3) : 1;
    if (random.chance(30))
        for (int step = 0; step < out.steps; ++step)
            out.how.weights.push_back(random_weights(random, world));
    return out;
}

} // namespace oracle
