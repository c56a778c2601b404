// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Random models and holders for the unit tests, and a brute-force view of them, element by element.
///
/// The brute-force side reads what a user declares and nothing that the library derives from it. Rank sets are bit masks
/// there, so that the set arithmetic is not the library's either.

#include <sdp/masking/residency.hpp>
#include <sdp/overlap/plan.hpp>
#include <sdp/partition/assignment.hpp>
#include <sdp/subnetwork.hpp>

#include <cstdint>
#include <initializer_list>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace unit {

using sdp::index_t;

/// Raw engine output only: the standard's distributions differ between libraries.
class random {
public:
    explicit random(std::uint64_t seed)
        : engine_(seed)
    {
    }
    std::uint64_t bits() { return engine_(); }
    int below(int bound) { return static_cast<int>((engine_() >> 16) % static_cast<std::uint64_t>(bound)); }
    int between(int first, int last) { return first + below(last - first + 1); }
    bool chance(int percent) { return below(100) < percent; }

private:
    std::mt19937_64 engine_;
};

/// Describes an error in the refusal of `action`: empty if it throws an `Error` whose sentence contains all of `words`.
template <class Error = sdp::error, class F>
[[nodiscard]] std::string flaw(F&& action, std::initializer_list<std::string_view> words)
{
    std::string sentence;
    try {
        action();
        return "nothing was thrown";
    } catch (const Error& e) {
        sentence = e.what();
    } catch (const std::exception& e) {
        return std::string("another type was thrown: ") + e.what();
    }
    for (const auto word : words)
        if (sentence.find(word) == std::string::npos)
            return "'" + std::string(word) + "' is missing in: " + sentence;
    return {};
}

/// Bit r is rank r.
using mask = std::uint64_t;

[[nodiscard]] inline mask everyone(int world)
{
    return (mask {1} << world) - 1;
}
[[nodiscard]] inline bool has(mask set, int rank)
{
    return ((set >> rank) & 1) != 0;
}
[[nodiscard]] inline int count(mask set)
{
    int out = 0;
    for (; set != 0; set &= set - 1)
        ++out;
    return out;
}
[[nodiscard]] inline mask mask_of(const sdp::rank_set& set)
{
    mask out = 0;
    for (const int rank : set.ranks())
        out |= mask {1} << rank;
    return out;
}
[[nodiscard]] inline mask mask_of(const std::vector<int>& ranks)
{
    mask out = 0;
    for (const int rank : ranks)
        out |= mask {1} << rank;
    return out;
}
[[nodiscard]] inline sdp::rank_set set_of(mask set)
{
    std::vector<int> out;
    for (int rank = 0; rank < 64; ++rank)
        if (has(set, rank))
            out.push_back(rank);
    return sdp::rank_set(out);
}

/// Four regimes under one type: the two of the paper, and two in which some store without training.
struct any_regime {
    enum class kind { forward, backward, half_trains, neighbour_reads };
    kind what = kind::forward;

    [[nodiscard]] mask stored(mask holders, int world) const
    {
        switch (what) {
        case kind::backward:
            return everyone(world);
        case kind::neighbour_reads:
            return (holders | (holders << 1) | (holders >> (world - 1))) & everyone(world);
        case kind::forward:
        case kind::half_trains:
            break;
        }
        return holders;
    }
    [[nodiscard]] mask trained(mask holders, int) const
    {
        if (what != kind::half_trains)
            return holders;
        mask out = 0;
        const int half = (count(holders) + 1) / 2;
        for (int rank = 0; count(out) < half; ++rank)
            out |= holders & (mask {1} << rank);
        return out;
    }
    [[nodiscard]] sdp::rank_set stored_by(const sdp::unit_view& u) const { return set_of(stored(mask_of(u.holders), u.world)); }
    [[nodiscard]] sdp::rank_set trained_by(const sdp::unit_view& u) const { return set_of(trained(mask_of(u.holders), u.world)); }
};

/// A small model in which every group and block is used; one parameter may lie in a block and in several groups.
[[nodiscard]] inline sdp::model random_model(random& r)
{
    sdp::model m;
    random fuse = r; // draws apart, so that the other choices do not depend on it
    const int groups = r.below(4), blocks = r.below(4);
    for (int g = 0; g < groups; ++g)
        m.add_group("group" + std::to_string(g), r.between(1, 7));
    for (int b = 0; b < blocks; ++b)
        m.add_block("block" + std::to_string(b));
    const int parameters = std::max({groups, blocks, r.between(1, 5)});
    for (int p = 0; p < parameters; ++p) {
        sdp::placement where;
        sdp::extents shape;
        const int axes = p < groups ? r.between(1, 3) : r.below(4);
        const int forced = p < groups ? r.below(axes) : -1;
        std::vector<bool> taken(static_cast<std::size_t>(groups), false);
        if (p < groups)
            taken[static_cast<std::size_t>(p)] = true;
        for (int axis = 0; axis < axes; ++axis) {
            int group = axis == forced ? p : groups > 0 && r.chance(60) ? r.below(groups) : -1;
            if (group >= 0 && axis != forced && taken[static_cast<std::size_t>(group)])
                group = -1;
            if (group < 0) {
                shape.push_back(r.between(1, 4));
                continue;
            }
            taken[static_cast<std::size_t>(group)] = true;
            const auto id = sdp::group_id(group);
            const int elements = r.between(1, 3);
            shape.push_back(m[id].neurons * elements);
            where.axes.push_back({axis, id, r.chance(50) ? elements : 0});
            if (elements > 1 && fuse.chance(50)) // two matrices on the same neurons, in one
                where.axes.back().fused = {1, elements - 1};
        }
        if (r.chance(50))
            std::reverse(where.axes.begin(), where.axes.end()); // the order of declaration means nothing
        if (p < blocks)
            where.within = sdp::block_id(p);
        else if (blocks > 0 && r.chance(40))
            where.within = sdp::block_id(r.below(blocks));
        m.add_parameter("parameter" + std::to_string(p), shape, std::move(where));
    }
    return m;
}

/// Any holders, in units of any length. With `common`, that rank holds everything, so that no element is left out.
[[nodiscard]] inline sdp::assignment random_assignment(random& r, const sdp::model& m, int world, int common)
{
    const auto any = [&] {
        mask out = 0;
        while (out == 0)
            out = static_cast<mask>(r.bits() >> 20) & everyone(world);
        if (r.chance(30))
            out = mask {1} << r.below(world);
        return common < 0 ? out : out | (mask {1} << common);
    };
    sdp::assignment out(m, world);
    for (std::size_t g = 0; g < m.groups().size(); ++g) {
        if (r.chance(10))
            continue; // stays pinned
        std::vector<sdp::neuron_unit> units;
        for (index_t begin = 0; begin < m.groups()[g].neurons;) {
            const index_t end = std::min<index_t>(m.groups()[g].neurons, begin + r.between(1, 3));
            units.push_back({begin, end, set_of(any())});
            begin = end;
        }
        out.assign(sdp::group_id(g), units);
    }
    for (std::size_t b = 0; b < m.blocks().size(); ++b)
        if (!r.chance(10))
            out.assign(sdp::block_id(b), set_of(any()));
    return out;
}

/// Storers and trainers of each element of each parameter, by row-major index.
struct element_table {
    std::vector<std::vector<mask>> stored, trained;

    [[nodiscard]] bool complete() const
    {
        for (const auto& p : trained)
            for (const mask m : p)
                if (m == 0)
                    return false;
        return true;
    }
};

[[nodiscard]] inline element_table elements_of(const sdp::model& m, const sdp::assignment& a, const any_regime& regime)
{
    element_table out;
    for (const auto& p : m.parameters()) {
        auto& stored = out.stored.emplace_back();
        auto& trained = out.trained.emplace_back();
        for (index_t i = 0; i < p.size(); ++i) {
            mask s = everyone(a.world()), t = s;
            const auto meet = [&](mask holders) {
                s &= regime.stored(holders, a.world());
                t &= regime.trained(holders, a.world());
            };
            if (p.where.within)
                meet(mask_of(a.holders(*p.where.within)));
            for (const auto& axis : p.where.axes) {
                index_t inner = 1;
                for (std::size_t later = static_cast<std::size_t>(axis.axis) + 1; later < p.shape.size(); ++later)
                    inner *= p.shape[later];
                const index_t extent = p.shape[static_cast<std::size_t>(axis.axis)], neurons = m[axis.group].neurons;
                index_t neuron = i / inner % extent;
                if (axis.fused.empty())
                    neuron = neuron * neurons / extent;
                else if (neuron >= neurons) // behind a first part, which has one element of each neuron
                    neuron = (neuron - neurons) / (extent / neurons - 1);
                for (const auto& u : a.units(axis.group))
                    if (u.begin <= neuron && neuron < u.end)
                        meet(mask_of(a.holders(u)));
            }
            stored.push_back(s);
            trained.push_back(t);
        }
    }
    return out;
}

/// A model, its holders and a regime under which every element is trained by somebody.
struct scene {
    sdp::model model;
    int world;
    sdp::assignment holders;
    any_regime regime;
    element_table elements;
    sdp::residency residents;
};

[[nodiscard]] inline scene random_scene(std::uint64_t seed)
{
    random r(seed);
    auto m = random_model(r);
    const int world = r.between(1, 6);
    const any_regime regime {static_cast<any_regime::kind>(seed % 4)};
    for (int attempt = 0;; ++attempt) {
        // Half of the regimes train with the first holders only, so the one who holds everything is rank 0.
        auto holders = random_assignment(r, m, world, attempt < 8 ? -1 : 0);
        auto elements = elements_of(m, holders, regime);
        if (!elements.complete())
            continue;
        auto residents = sdp::residency(m, holders, regime);
        return {std::move(m), world, std::move(holders), regime, std::move(elements), std::move(residents)};
    }
}

/// Row-major indices, in the full tensor, of the elements of a slab in the slab's own row-major order.
[[nodiscard]] inline std::vector<index_t> elements_of(const sdp::slab& s, const sdp::extents& full_shape)
{
    std::vector<index_t> out {0};
    for (std::size_t axis = 0; axis < full_shape.size(); ++axis) {
        std::vector<index_t> next;
        for (const index_t before : out)
            for (const auto& i : s.axes[axis])
                for (index_t at = i.begin; at < i.end; ++at)
                    next.push_back(before * full_shape[axis] + at);
        out = std::move(next);
    }
    return out;
}

/// A LLaMA without biases: gated feed-forward, full attention, untied head. Heads and feed-forward neurons may be split, and
/// every layer's two branches are blocks.
[[nodiscard]] inline sdp::model llama(index_t hidden, index_t inner, int layers, index_t heads, index_t vocabulary)
{
    sdp::model m;
    m.add_parameter("embedding", {vocabulary, hidden});
    for (int layer = 0; layer < layers; ++layer) {
        const auto name = [layer](std::string_view what) { return "layer" + std::to_string(layer) + "." + std::string(what); };
        const auto attention = m.add_block(name("attention")), feed = m.add_block(name("feed"));
        const auto head = m.add_group(name("heads"), heads), neuron = m.add_group(name("neurons"), inner);
        m.add_parameter(name("attention.norm"), {hidden}, {.within = attention});
        for (const auto* const what : {"query", "key", "value"})
            m.add_parameter(name(what), {hidden, hidden}, {.within = attention, .axes = {{0, head, hidden / heads}}});
        m.add_parameter(name("output"), {hidden, hidden}, {.within = attention, .axes = {{1, head}}});
        m.add_parameter(name("feed.norm"), {hidden}, {.within = feed});
        for (const auto* const what : {"gate", "up"})
            m.add_parameter(name(what), {inner, hidden}, {.within = feed, .axes = {{0, neuron}}});
        m.add_parameter(name("down"), {hidden, inner}, {.within = feed, .axes = {{1, neuron}}});
    }
    m.add_parameter("norm", {hidden});
    m.add_parameter("head", {vocabulary, hidden});
    return m;
}

/// ResNet-18 as used for 32×32 images: eight residual blocks, whose inner channels may be split as well.
[[nodiscard]] inline sdp::model resnet18(index_t classes = 10)
{
    sdp::model m;
    const auto norm = [&](const std::string& name, index_t channels, const sdp::placement& where) {
        m.add_parameter(name + ".weight", {channels}, where);
        m.add_parameter(name + ".bias", {channels}, where);
    };
    m.add_parameter("stem", {64, 3, 3, 3});
    norm("stem.norm", 64, {});
    index_t in = 64;
    for (int stage = 0; stage < 4; ++stage)
        for (int i = 0; i < 2; ++i) {
            const index_t out = index_t {64} << stage;
            const auto name = "stage" + std::to_string(stage) + ".block" + std::to_string(i);
            const auto block = m.add_block(name);
            const auto channels = m.add_group(name + ".channels", out);
            m.add_parameter(name + ".conv1", {out, in, 3, 3}, {.within = block, .axes = {{0, channels}}});
            norm(name + ".norm1", out, {.within = block, .axes = {{0, channels}}});
            m.add_parameter(name + ".conv2", {out, out, 3, 3}, {.within = block, .axes = {{1, channels}}});
            norm(name + ".norm2", out, {.within = block});
            if (in != out) {
                m.add_parameter(name + ".projection", {out, in, 1, 1}, {.within = block});
                norm(name + ".projection.norm", out, {.within = block});
            }
            in = out;
        }
    m.add_parameter("classifier.weight", {classes, 512});
    m.add_parameter("classifier.bias", {classes});
    return m;
}

/// One group of that many neurons, one element each; or one block per cost.
[[nodiscard]] inline sdp::model one_group(index_t neurons, index_t elements = 1)
{
    sdp::model m;
    const auto g = m.add_group("neurons", neurons);
    m.add_parameter("weight", {neurons, elements}, {.axes = {{0, g}}});
    return m;
}
[[nodiscard]] inline sdp::model blocks_of(const std::vector<index_t>& costs)
{
    sdp::model m;
    for (std::size_t b = 0; b < costs.size(); ++b) {
        const auto id = m.add_block("block" + std::to_string(b));
        m.add_parameter("weight" + std::to_string(b), {costs[b]}, {.within = id});
    }
    return m;
}

/// Holders of every partitioned unit, groups first.
[[nodiscard]] inline std::vector<mask> unit_masks(const sdp::assignment& a)
{
    std::vector<mask> out;
    for (std::size_t g = 0; g < a.group_count(); ++g)
        if (a.partitioned(sdp::group_id(g)))
            for (const auto& u : a.units(sdp::group_id(g)))
                out.push_back(mask_of(a.holders(u)));
    for (std::size_t b = 0; b < a.block_count(); ++b)
        if (a.partitioned(sdp::block_id(b)))
            out.push_back(mask_of(a.holders(sdp::block_id(b))));
    return out;
}

/// Returns true if shared units connect every worker to every other.
[[nodiscard]] inline bool connected(const std::vector<mask>& units, int world)
{
    mask reached = 1;
    for (mask before = 0; before != reached;) {
        before = reached;
        for (const mask u : units)
            if ((u & reached) != 0)
                reached |= u;
    }
    return reached == everyone(world);
}

/// FNV-1a over the holders and bounds of every unit: one number that pins an assignment down.
[[nodiscard]] inline std::uint64_t fingerprint(const sdp::assignment& a)
{
    std::uint64_t out = 0xcbf29ce484222325;
    const auto add = [&](std::uint64_t value) {
        for (int byte = 0; byte < 8; ++byte)
            out = (out ^ ((value >> (8 * byte)) & 0xFF)) * 0x100000001b3;
    };
    for (std::size_t g = 0; g < a.group_count(); ++g)
        for (const auto& u : a.units(sdp::group_id(g))) {
            add(static_cast<std::uint64_t>(u.begin));
            add(static_cast<std::uint64_t>(u.end));
            add(mask_of(a.holders(u)));
        }
    for (std::size_t b = 0; b < a.block_count(); ++b)
        add(mask_of(a.holders(sdp::block_id(b))));
    return out;
}

/// Calls `visit(i)` for every element of a piece, in order; i counts in the row-major order of the local tensor.
template <class Visit> void for_each_element(const sdp::overlap_plan& plan, const sdp::overlap_piece& piece, Visit visit)
{
    for (std::uint64_t row = 0; row < piece.rows; ++row)
        for (const auto& run : plan.runs_of(piece))
            for (std::uint64_t i = 0; i < run.length; ++i)
                visit(piece.start + row * piece.stride + run.offset + i);
}

} // namespace unit
