// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief Times how a worker gets from a model's description to its overlap plan, and says what the holder designs are like.
///
/// `plan_bench`                        everything, at full size
/// `plan_bench --what designs`         the table of docs/designs.md
/// `plan_bench --json results.jsonl`   as well, one object per line
///
/// - `runs`: layouts in which neighbouring neurons have different holders, so that a worker's plan has a million runs. In the
///   last, nearly every neuron has holders of its own: a class with its owners for each run, which no policy makes.
///   Bounds: a plan in 250 ms and 32 bytes per run. `walk ms` is the baseline: a list of its runs without owners, classes or
///   order, made by one walk over the units for every matrix. `index B/run` is what a 32-bit index per element would take.
/// - `llama`: LLaMA-3.1-405B's shapes on 16,384 workers, one worker's way from the description to the plan. Bounds: 1 s, and
///   256 MiB of heap at its peak.
/// - `designs`: peers, spectral gap and balance of the holder designs.

#include "measure.hpp"
#include "options.hpp"
#include "report.hpp"

#include <sdp/diagnostics.hpp>
#include <sdp/masking/backward.hpp>
#include <sdp/masking/forward.hpp>
#include <sdp/partition/block.hpp>
#include <sdp/partition/nested.hpp>
#include <sdp/partition/neuron.hpp>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <functional>
#include <string>
#include <vector>

namespace plan_bench {
namespace {

    constexpr double mebibyte = 1024.0 * 1024.0;
    constexpr const char* verdict[] = {"missed", "met"};

    /// How long each stage took, in columns behind those of `r`.
    row stages(row r, const planned& p)
    {
        r.add("assign ms", p.assignment_ms, 1)
            .add("residency ms", p.residency_ms, 1)
            .add("subnetwork ms", p.subnetwork_ms, 1)
            .add("plan ms", p.plan_ms, 1);
        return r;
    }

    // ---- runs --------------------------------------------------------------------------------------------------------

    constexpr int scattered_world = 64;

    /// Matrices on one group of neurons, split by rows or by columns.
    sdp::model matrices(sdp::index_t neurons, int count, bool columns)
    {
        sdp::model m;
        const auto g = m.add_group("neurons", neurons);
        for (int i = 0; i < count; ++i)
            m.add_parameter("matrix" + std::to_string(i), columns ? sdp::extents {64, neurons} : sdp::extents {neurons, 64},
                {.axes = {{columns ? 1 : 0, g}}});
        return m;
    }

    /// Holders drawn for every neuron alone and left where they fell, which no policy of the library would do.
    std::vector<sdp::neuron_unit> scattered_units(sdp::index_t neurons, int k)
    {
        sdp::detail::portable_random random(1);
        std::vector<sdp::neuron_unit> out;
        for (sdp::index_t i = 0; i < neurons; ++i) {
            std::vector<int> ranks;
            while (ranks.size() < static_cast<std::size_t>(k)) {
                const int rank = static_cast<int>(random.below(scattered_world));
                if (std::find(ranks.begin(), ranks.end(), rank) == ranks.end())
                    ranks.push_back(rank);
            }
            out.push_back({i, i + 1, sdp::rank_set(std::move(ranks))});
        }
        return out;
    }

    /// The baseline: what worker 0 stores of each matrix, as pairs of begin and length.
    double walk_ms(const sdp::assignment& a, int matrix_count)
    {
        stopwatch watch;
        std::vector<std::pair<sdp::index_t, sdp::index_t>> runs;
        for (int i = 0; i < matrix_count; ++i)
            for (const auto& u : a.units(sdp::group_id(0)))
                if (a.holders(u).contains(0))
                    runs.push_back({u.begin * 64, (u.end - u.begin) * 64});
        return runs.empty() ? 0 : watch.lap();
    }

    void measure_runs(const options& o, report& print)
    {
        struct layout {
            const char* name;
            int holders, matrices;
            bool columns, backward;
        };
        for (const auto& l :
            {layout {"rows", 2, 8, false, false}, layout {"columns", 2, 8, true, false}, layout {"rows", 3, 8, false, false},
                layout {"rows", 2, 1, false, true}, layout {"columns", 8, 4, true, false}}) {
            // A worker stores k of 64 neurons; under backward masking all of them.
            const auto neurons
                = l.backward ? o.runs : std::max<sdp::index_t>(64, o.runs * scattered_world / l.holders / l.matrices);
            const auto units = scattered_units(neurons, l.holders);
            const auto assign = [&](const sdp::model& m) {
                sdp::assignment a(m, scattered_world);
                a.assign(sdp::group_id(0), units);
                return a;
            };
            const auto describe = [&] { return matrices(neurons, l.matrices, l.columns); };
            const auto p = fastest(o.rounds, [&] {
                return l.backward ? plan_once(describe, assign, sdp::backward_masking {}, 0)
                                  : plan_once(describe, assign, sdp::forward_masking {}, 0);
            });
            double walk = 1e300;
            const auto a = assign(describe());
            for (int i = 0; i < o.rounds; ++i)
                walk = std::min(walk, walk_ms(a, l.matrices));
            const double runs = static_cast<double>(p.runs), per_run = static_cast<double>(p.bytes) / runs;
            print("runs: neighbouring neurons with different holders, 64 workers",
                stages(row {}
                           .add("split", l.name)
                           .add("masking", l.backward ? "backward" : "forward")
                           .add("k", l.holders)
                           .add("matrices", l.matrices)
                           .add("runs", p.runs)
                           .add("sets", p.sets),
                    p)
                    .add("walk ms", walk, 1)
                    .add("B/run", per_run, 2)
                    .add("index B/run", 4 * static_cast<double>(p.stored) / runs, 1)
                    .add("bounds", verdict[p.plan_ms < 250 && per_run < 32 ? 1 : 0]));
        }
    }

    // ---- llama -------------------------------------------------------------------------------------------------------

    /// LLaMA-3.1-405B, described as examples/train_llama does: heads and feed-forward neurons are groups, and both branches
    /// of a layer are blocks.
    sdp::model llama_405b(int layers)
    {
        constexpr sdp::index_t hidden = 16'384, heads = 128, kv_heads = 8, head_dim = 128, ffn = 53'248, vocabulary = 128'256;
        sdp::model m;
        m.add_parameter("embedding", {vocabulary, hidden});
        for (int layer = 0; layer < layers; ++layer) {
            const auto name = "layer" + std::to_string(layer) + ".";
            const auto attention = m.add_block(name + "attention"), feed = m.add_block(name + "ffn");
            const auto head = m.add_group(name + "heads", kv_heads), neuron = m.add_group(name + "hidden", ffn);
            m.add_parameter(name + "attention_norm", {hidden}, {attention});
            m.add_parameter(name + "q", {heads * head_dim, hidden}, {attention, {{0, head}}});
            m.add_parameter(name + "k", {kv_heads * head_dim, hidden}, {attention, {{0, head}}});
            m.add_parameter(name + "v", {kv_heads * head_dim, hidden}, {attention, {{0, head}}});
            m.add_parameter(name + "o", {hidden, heads * head_dim}, {attention, {{1, head}}});
            m.add_parameter(name + "ffn_norm", {hidden}, {feed});
            m.add_parameter(name + "gate", {ffn, hidden}, {feed, {{0, neuron}}});
            m.add_parameter(name + "up", {ffn, hidden}, {feed, {{0, neuron}}});
            m.add_parameter(name + "down", {hidden, ffn}, {feed, {{1, neuron}}});
        }
        m.add_parameter("final_norm", {hidden});
        m.add_parameter("head", {vocabulary, hidden});
        return m;
    }

    struct llama_case {
        std::string level, design;
        int holders;
        sdp::index_t granularity;
        std::function<sdp::assignment(const sdp::model&, int)> policy;
        int rounds;
    };

    void measure_llama(const options& o, report& print)
    {
        const auto share = [&](int k) { return static_cast<double>(k) / o.workers; };
        std::vector<llama_case> cases;
        for (const int k : {8, 32, 64}) {
            for (const int divisions : {2, 3, 4})
                cases.push_back({"neuron", "cells m=" + std::to_string(divisions), k, 1,
                    sdp::neuron_partition {.coverage = share(k), .design = sdp::holder_design::cells, .divisions = divisions},
                    o.rounds});
            cases.push_back({"neuron", "cyclic", k, 1,
                sdp::neuron_partition {.coverage = share(k), .design = sdp::holder_design::cyclic}, o.rounds});
        }
        cases.push_back({"neuron", "cells m=3", 24, 1, // does not divide the workers
            sdp::neuron_partition {.coverage = share(24), .design = sdp::holder_design::cells}, o.rounds});
        const int outer = o.workers / 16;
        if (2 * o.layers * outer >= o.workers)
            for (const int k : {8, 32})
                if (k <= outer)
                    cases.push_back({"nested", "cells m=2", k, 1,
                        sdp::nested_partition {
                            .outer = {.coverage = 1.0 / 16, .design = sdp::holder_design::cells, .divisions = 2},
                            .inner
                            = {.coverage = static_cast<double>(k) / outer, .design = sdp::holder_design::cells, .divisions = 2}},
                        o.rounds});
        // Drawing anew for every unit is units × workers, so only large units can be drawn at all.
        for (const sdp::index_t granularity : {6'656, 1'664})
            cases.push_back({"neuron", "random", 32, granularity,
                sdp::neuron_partition {.coverage = share(32), .granularity = granularity}, 1});
        for (const auto& c : cases) {
            const auto p = fastest(c.rounds, [&] {
                return plan_once([&] { return llama_405b(o.layers); },
                    [&](const sdp::model& m) { return c.policy(m, o.workers); }, sdp::forward_masking {}, o.workers / 3);
            });
            const double peak = static_cast<double>(p.peak) / mebibyte;
            print("llama: 405B on " + std::to_string(o.workers) + " workers, one worker's share, from model to plan",
                stages(row {}
                           .add("level", c.level)
                           .add("design   ", c.design)
                           .add("k", c.holders)
                           .add("granularity", c.granularity)
                           .add("peers max", p.peers)
                           .add("balance", p.balance, 3)
                           .add("sets", p.sets)
                           .add("entries", p.entries),
                    p)
                    .add("total ms", p.total_ms(), 1)
                    .add("peak MiB", peak, 1)
                    .add("plan KiB", static_cast<double>(p.bytes) / 1024, 1)
                    .add("runs", p.runs)
                    .add("stored M", static_cast<double>(p.stored) / 1e6, 1)
                    .add("bounds", verdict[p.total_ms() < 1000 && peak < 256 ? 1 : 0]));
        }
    }

    // ---- designs -----------------------------------------------------------------------------------------------------

    void measure_designs(const options& o, report& print)
    {
        struct design {
            std::string name;
            sdp::holder_design what;
            int divisions;
        };
        const std::vector<design> designs {{"random", sdp::holder_design::random, 3}, {"cells m=2", sdp::holder_design::cells, 2},
            {"cells m=3", sdp::holder_design::cells, 3}, {"cells m=4", sdp::holder_design::cells, 4},
            {"cyclic", sdp::holder_design::cyclic, 2}};
        constexpr std::int64_t units_per_worker = 96;
        for (const int world : {64, 1024, 16'384}) {
            if (world > o.workers)
                continue;
            for (const int k : {4, 8, 32})
                for (const auto& d : designs) {
                    auto units = units_per_worker * world / k;
                    if (d.what == sdp::holder_design::random)
                        units = std::min<std::int64_t>(units, 200'000'000 / world); // it is drawn in units × workers
                    sdp::model m;
                    const auto g = m.add_group("neurons", units);
                    m.add_parameter("matrix", {units, 64}, {.axes = {{0, g}}});
                    stopwatch watch;
                    const auto a = sdp::neuron_partition {
                        .coverage = static_cast<double>(k) / world, .design = d.what, .divisions = d.divisions}(m, world);
                    const double draw = watch.lap();
                    const auto peers = sdp::peers_per_worker(a);
                    watch.lap();
                    const double gap = sdp::spectral_gap(a), gap_ms = watch.lap();
                    double sum = 0;
                    for (const int p : peers)
                        sum += p;
                    print("designs: one group of equal units",
                        row {}
                            .add("N", world)
                            .add("k", k)
                            .add("design   ", d.name)
                            .add("units", units)
                            .add("per worker", static_cast<double>(units * k) / world, 0)
                            .add("sets", a.holder_set_count() - 1) // without that of what is pinned
                            .add("peers max", *std::max_element(peers.begin(), peers.end()))
                            .add("mean", sum / world, 1)
                            .add("gap", gap, 4)
                            .add("balance", sdp::balance(m, a), 3)
                            .add("draw ms", draw, 1)
                            .add("gap ms", gap_ms, 1));
                }
        }
    }

} // namespace
} // namespace plan_bench

int main(int argc, char** argv)
{
    try {
        const auto o = plan_bench::parse(argc, argv);
        plan_bench::report print(o.json);
        if (o.what == "all" || o.what == "runs")
            plan_bench::measure_runs(o, print);
        if (o.what == "all" || o.what == "llama")
            plan_bench::measure_llama(o, print);
        if (o.what == "all" || o.what == "designs")
            plan_bench::measure_designs(o, print);
        return 0;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "plan_bench: %s\n", e.what());
        return 1;
    }
}
