// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "layout.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <stdexcept>

namespace overlap_bench {
namespace {

    /// Number of k-subsets of the workers; `limit` where there are more.
    [[nodiscard]] std::size_t subset_count(int world, int k, std::size_t limit)
    {
        double count = 1;
        for (int i = 1; i <= std::min(k, world - k); ++i)
            count = std::min(std::round(count * (world - i + 1) / i), static_cast<double>(limit));
        return static_cast<std::size_t>(count);
    }

    /// k workers drawn at random, in order, the same everywhere.
    [[nodiscard]] std::vector<int> drawn_ranks(const sdp::counter_generator& random, std::uint64_t& drawn, int world, int k)
    {
        const auto below = [&](int bound) { return static_cast<int>(random.bits(drawn++) % static_cast<std::uint64_t>(bound)); };
        std::vector<int> ranks(static_cast<std::size_t>(world));
        std::iota(ranks.begin(), ranks.end(), 0);
        for (int at = 0; at < k; ++at)
            std::swap(ranks[static_cast<std::size_t>(at)], ranks[static_cast<std::size_t>(at + below(world - at))]);
        ranks.resize(static_cast<std::size_t>(k));
        std::sort(ranks.begin(), ranks.end());
        return ranks;
    }

    /// All k-subsets of the workers.
    [[nodiscard]] std::vector<std::vector<int>> all_subsets(int world, int k)
    {
        std::vector<std::vector<int>> out;
        std::vector<bool> chosen(static_cast<std::size_t>(world), false);
        std::fill(chosen.begin(), chosen.begin() + k, true);
        do {
            auto& ranks = out.emplace_back();
            for (int rank = 0; rank < world; ++rank)
                if (chosen[static_cast<std::size_t>(rank)])
                    ranks.push_back(rank);
        } while (std::prev_permutation(chosen.begin(), chosen.end()));
        return out;
    }

    /// At most `most` k-subsets, at random, each with all its rotations, so that every worker is in as many.
    [[nodiscard]] std::vector<std::vector<int>> some_subsets(int world, int k, std::size_t most)
    {
        const sdp::counter_generator random(20250709, 1);
        std::uint64_t drawn = 0;
        std::set<std::vector<int>> out;
        for (std::size_t orbits = std::max<std::size_t>(most / static_cast<std::size_t>(world), 1); orbits > 0;) {
            const auto ranks = drawn_ranks(random, drawn, world, k);
            if (out.contains(ranks))
                continue;
            for (int shift = 0; shift < world; ++shift) {
                auto turned = ranks;
                for (int& rank : turned)
                    rank = (rank + shift) % world;
                std::sort(turned.begin(), turned.end());
                out.insert(std::move(turned));
            }
            --orbits;
        }
        return {out.begin(), out.end()};
    }

    /// k-subsets of the workers, each once, neighbours unlike each other: all of them or, where these are more than `most`, some.
    [[nodiscard]] std::vector<sdp::rank_set> sets_of(int world, int k, std::size_t most)
    {
        const bool all = subset_count(world, k, most + 1) <= most;
        const auto subsets = all ? all_subsets(world, k) : some_subsets(world, k, most);
        // A stride that is coprime to the count visits every set and separates neighbours.
        std::size_t stride = subsets.size() / 3 + 1;
        while (std::gcd(stride, subsets.size()) != 1)
            ++stride;
        std::vector<sdp::rank_set> mixed;
        for (std::size_t i = 0; i < subsets.size(); ++i)
            mixed.emplace_back(subsets[i * stride % subsets.size()]);
        return mixed;
    }

    /// Masks that nobody has designed: sizes from 2 to the number of workers and members by chance, the same everywhere.
    [[nodiscard]] std::vector<sdp::rank_set> unlucky_sets(int world)
    {
        const sdp::counter_generator random(20250709, 0);
        std::uint64_t drawn = 0;
        std::vector<sdp::rank_set> out;
        for (int i = 0; i < 1021; ++i) {
            const int k = world < 2 ? world : 2 + static_cast<int>(random.bits(drawn++) % static_cast<std::uint64_t>(world - 1));
            out.emplace_back(drawn_ranks(random, drawn, world, k));
        }
        return out;
    }

    /// Runs of a model of so many bytes.
    [[nodiscard]] std::size_t runs_of(std::size_t bytes, std::size_t run_bytes)
    {
        return bytes / sizeof(float) / std::max<std::size_t>(run_bytes / sizeof(float), 1);
    }

    /// Float matrices of about `bytes` together, cut into runs of `run_bytes` within a row, which take the sets in turn from
    /// one matrix to the next. At most about a thousand runs a row.
    [[nodiscard]] layout scattered(const options& o, std::size_t bytes, std::size_t run_bytes, int holders, int world)
    {
        const bool uniform = holders != mixed_holders;
        const auto sets = uniform ? sets_of(world, holders, runs_of(bytes, run_bytes)) : unlucky_sets(world);
        // Whole rounds over the sets where there is a design, so that all workers hold as much.
        const std::size_t period = uniform ? sets.size() : 1;
        const auto whole = [&](std::size_t runs) { return std::max<std::size_t>(runs / period, 1) * period; };
        const std::size_t run = std::max<std::size_t>(run_bytes / sizeof(float), 1);
        const std::size_t runs = whole(runs_of(bytes, run_bytes));
        const std::size_t target
            = o.parameters > 0 ? o.parameters : std::max<std::size_t>(runs * run * sizeof(float) / (std::size_t {2} << 20), 1);
        const std::size_t each = (runs + target - 1) / target;

        layout out;
        out.run_bytes = run * sizeof(float);
        out.holders = holders;
        out.sets = sets.size();
        out.all_sets = !uniform || subset_count(world, holders, sets.size() + 1) == sets.size();
        std::vector<std::size_t> first; // set of the first run of each matrix
        for (std::size_t begin = 0, p = 0; begin < runs; ++p) {
            const std::size_t left = std::min(each, runs - begin);
            const std::size_t in_row = left <= std::min<std::size_t>(period, 1024) ? left : std::min(left, whole(1024));
            const std::size_t rows = left / in_row;
            const auto group = out.model.add_group(sdp::detail::text("columns", p), static_cast<sdp::index_t>(in_row));
            out.model.add_parameter(sdp::detail::text("matrix", p),
                {static_cast<sdp::index_t>(rows), static_cast<sdp::index_t>(in_row * run)}, {.axes = {{1, group}}});
            first.push_back(begin % sets.size());
            begin += in_row * rows;
        }
        out.partition = [sets, first](const sdp::model& m, int size) {
            sdp::assignment a(m, size);
            for (std::size_t g = 0; g < m.groups().size(); ++g) {
                std::vector<sdp::neuron_unit> units;
                for (sdp::index_t n = 0; n < m.groups()[g].neurons; ++n)
                    units.push_back({n, n + 1, sets[(first[g] + static_cast<std::size_t>(n)) % sets.size()]});
                a.assign(sdp::group_id(g), units);
            }
            return a;
        };
        return out;
    }

    /// LLaMA with 12 layers of width 768: as examples/trainers/llama describes one to the library.
    [[nodiscard]] sdp::model llama_130m(std::size_t scale)
    {
        const sdp::index_t hidden = 768, heads = 12, head = hidden / heads, ffn = 2048;
        const auto scaled = [&](std::size_t size) { return static_cast<sdp::index_t>(std::max<std::size_t>(size / scale, 1)); };
        sdp::model m;
        m.add_parameter("embedding", {scaled(32000), hidden});
        for (sdp::index_t i = 0; i < scaled(12); ++i) {
            const auto name = sdp::detail::text("layer", i, ".");
            const auto attention = m.add_block(name + "attention"), mlp = m.add_block(name + "ffn");
            const auto split = m.add_group(name + "heads", heads), inner = m.add_group(name + "hidden", ffn);
            m.add_parameter(name + "attention_norm", {hidden}, {attention});
            for (const char* matrix : {"q", "k", "v"})
                m.add_parameter(name + matrix, {hidden, hidden}, {attention, {{0, split, head}}});
            m.add_parameter(name + "o", {hidden, hidden}, {attention, {{1, split, head}}});
            m.add_parameter(name + "ffn_norm", {hidden}, {mlp});
            m.add_parameter(name + "gate", {ffn, hidden}, {mlp, {{0, inner, 1}}});
            m.add_parameter(name + "up", {ffn, hidden}, {mlp, {{0, inner, 1}}});
            m.add_parameter(name + "down", {hidden, ffn}, {mlp, {{1, inner, 1}}});
        }
        m.add_parameter("final_norm", {hidden});
        m.add_parameter("head", {scaled(32000), hidden});
        return m;
    }

    /// The library's partitions of a real model.
    [[nodiscard]] layout llama(const options& o, int holders, int world)
    {
        layout out;
        out.model = llama_130m(o.scale);
        out.holders = holders;
        const double coverage = static_cast<double>(holders) / world;
        if (o.layout == "llama-130m-neuron")
            out.partition = sdp::combined(sdp::neuron_partition {.coverage = coverage, .groups = "*.heads"},
                sdp::neuron_partition {.coverage = coverage, .seed = 1, .groups = "*.hidden"});
        else
            out.partition = sdp::block_partition {.coverage = coverage, .blocks = "*"};
        return out;
    }

} // namespace

std::vector<planned_layout> planned_layouts(const options& o, int world)
{
    std::vector<int> all_holders = o.holders;
    if (all_holders.empty())
        for (const int k : {2, 4, 8})
            if (k <= world)
                all_holders.push_back(k);
    std::vector<planned_layout> out;
    for (const int holders : all_holders) {
        if (holders < 0 || holders > world)
            throw std::invalid_argument("--holders has " + std::to_string(holders) + ", but there are " + std::to_string(world)
                + " workers; expected at most so many");
        const auto name = o.layout + "/N:" + std::to_string(world)
            + "/k:" + (holders == mixed_holders ? std::string("mixed") : std::to_string(holders));
        if (o.layout != "scattered") {
            if (holders == mixed_holders)
                throw std::invalid_argument("--holders has 'mixed'; the partitions of " + o.layout + " take a number");
            out.push_back({name + "/scale:" + std::to_string(o.scale), holders, 0, [=] { return llama(o, holders, world); }});
            continue;
        }
        for (const auto bytes : o.bytes)
            for (const auto run_bytes : o.run_bytes) {
                if (runs_of(bytes, run_bytes) < static_cast<std::size_t>(world))
                    throw std::invalid_argument("--bytes has " + bench::size_name(bytes) + ", which is "
                        + std::to_string(runs_of(bytes, run_bytes)) + " runs of " + bench::size_name(run_bytes)
                        + "; expected at least one for each of " + std::to_string(world)
                        + " workers: take shorter runs or a larger model");
                out.push_back({name + "/model:" + bench::size_name(bytes) + "/run:" + bench::size_name(run_bytes), holders,
                    run_bytes, [=] { return scattered(o, bytes, run_bytes, holders, world); }});
            }
    }
    return out;
}

element_holders::element_holders(const sdp::model& m, const sdp::assignment& a, sdp::parameter_id id)
{
    const auto& p = m[id];
    const auto outer = p.where.within ? a.holders(*p.where.within) : sdp::rank_set::all(a.world());
    if (p.where.axes.size() > 1)
        throw std::logic_error("a parameter that is split on two axes; no layout here has one");
    if (p.where.axes.empty()) {
        sets_.push_back(outer.ranks());
        set_of_neuron_.push_back(0);
        return;
    }
    const auto& axis = p.where.axes.front();
    if (!axis.fused.empty())
        throw std::logic_error("a fused axis; no layout here has one");
    extent_ = p.shape[static_cast<std::size_t>(axis.axis)];
    for (std::size_t i = static_cast<std::size_t>(axis.axis) + 1; i < p.shape.size(); ++i)
        inner_ *= p.shape[i];
    for (const auto& unit : a.units(axis.group)) {
        set_of_neuron_.insert(set_of_neuron_.end(), static_cast<std::size_t>((unit.end - unit.begin) * axis.elements_per_neuron),
            static_cast<std::uint32_t>(sets_.size()));
        sets_.push_back(intersection(outer, a.holders(unit)).ranks());
    }
}

} // namespace overlap_bench
