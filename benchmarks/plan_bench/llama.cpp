// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "measure.hpp"
#include "settings.hpp"

#include <sdp/masking/forward.hpp>
#include <sdp/partition/nested.hpp>
#include <sdp/partition/neuron.hpp>

#include <functional>
#include <string>
#include <vector>

namespace plan_bench {
namespace {

    /// LLaMA-3.1-405B, described as examples/trainers/llama does: heads and feed-forward neurons are groups, and both branches
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
    };

    [[nodiscard]] std::vector<llama_case> llama_cases(const options& o)
    {
        const auto share = [&](int k) { return static_cast<double>(k) / o.workers; };
        std::vector<llama_case> cases;
        for (const int k : {8, 32, 64}) {
            for (const int divisions : {2, 3, 4})
                cases.push_back({"neuron", "cells_m=" + std::to_string(divisions), k, 1,
                    sdp::neuron_partition {.coverage = share(k), .design = sdp::holder_design::cells, .divisions = divisions}});
            cases.push_back(
                {"neuron", "cyclic", k, 1, sdp::neuron_partition {.coverage = share(k), .design = sdp::holder_design::cyclic}});
        }
        cases.push_back({"neuron", "cells_m=3", 24, 1, // does not divide the workers
            sdp::neuron_partition {.coverage = share(24), .design = sdp::holder_design::cells}});
        const int outer = o.workers / 16;
        if (2 * o.layers * outer >= o.workers)
            for (const int k : {8, 32})
                if (k <= outer)
                    cases.push_back({"nested", "cells_m=2", k, 1,
                        sdp::nested_partition {
                            .outer = {.coverage = 1.0 / 16, .design = sdp::holder_design::cells, .divisions = 2},
                            .inner = {.coverage = static_cast<double>(k) / outer,
                                .design = sdp::holder_design::cells,
                                .divisions = 2}}});
        // Drawing anew for every unit is units × workers, so only large units can be drawn at all.
        for (const sdp::index_t granularity : {6'656, 1'664})
            cases.push_back(
                {"neuron", "random", 32, granularity, sdp::neuron_partition {.coverage = share(32), .granularity = granularity}});
        return cases;
    }

    [[nodiscard]] bench::results measure(const options& o, const llama_case& c, int rounds)
    {
        std::vector<bench::contender> contenders {planning("total", &planned::total_ms, [&] {
            return plan_once([&] { return llama_405b(o.layers); }, [&](const sdp::model& m) { return c.policy(m, o.workers); },
                sdp::forward_masking {}, o.workers / 3);
        })};
        return bench::measure(contenders, rounds, bench::alone());
    }

} // namespace

void add_llama(const options& o, bench::program& p)
{
    for (const auto& c : llama_cases(o))
        p.add({"llama/N:" + std::to_string(o.workers) + "/level:" + c.level + "/design:" + c.design
                + "/k:" + std::to_string(c.holders) + "/granularity:" + std::to_string(c.granularity),
            {"total"}, [=](const auto&, int rounds) { return measure(o, c, rounds); }});
}

} // namespace plan_bench
