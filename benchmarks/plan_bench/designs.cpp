// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "measure.hpp"
#include "settings.hpp"

#include <sdp/partition/neuron.hpp>

#include <algorithm>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

namespace plan_bench {
namespace {

    struct design {
        std::string name;
        sdp::holder_design what;
        int divisions;
    };

    [[nodiscard]] bench::results measure(int world, int k, const design& d, const bench::selection& chosen, int rounds)
    {
        constexpr std::int64_t units_per_worker = 96;
        auto units = units_per_worker * world / k;
        if (d.what == sdp::holder_design::random)
            units = std::min<std::int64_t>(units, 200'000'000 / world); // it is drawn in units × workers
        sdp::model m;
        const auto g = m.add_group("neurons", units);
        m.add_parameter("matrix", {units, 64}, {.axes = {{0, g}}});
        const sdp::neuron_partition partition {
            .coverage = static_cast<double>(k) / world, .design = d.what, .divisions = d.divisions};
        std::optional<sdp::assignment> a = partition(m, world);
        double gap = 0;
        std::vector<bench::contender> contenders;
        const auto add = [&](const char* name, std::function<void()> f) {
            if (!chosen.has(name))
                return;
            auto& c = contenders.emplace_back();
            c.name = name;
            c.run = [f] {
                stopwatch watch;
                f();
                return watch.lap() / 1e3;
            };
        };
        add("draw", [&] { a = partition(m, world); });
        add("gap", [&] { gap = sdp::spectral_gap(*a); });
        auto out = bench::measure(contenders, rounds, bench::alone());
        const auto peers = sdp::peers_per_worker(*a);
        const bench::counters facts {{"units", static_cast<double>(units)},
            {"units_per_worker", static_cast<double>(units * k) / world},
            {"sets", static_cast<double>(a->holder_set_count() - 1)}, // without that of what is pinned
            {"peers_max", *std::max_element(peers.begin(), peers.end())},
            {"peers_mean", std::accumulate(peers.begin(), peers.end(), 0.0) / world},
            {"gap", out.contains("gap") ? gap : sdp::spectral_gap(*a)}, {"balance", sdp::balance(m, *a)}};
        for (auto& [name, each] : out)
            each.fixed = facts;
        return out;
    }

} // namespace

void add_designs(const options& o, bench::program& p)
{
    for (const int world : {64, 1024, 16'384})
        for (const int k : {4, 8, 32})
            for (const auto& d : {design {"random", sdp::holder_design::random, 3},
                     design {"cells_m=2", sdp::holder_design::cells, 2}, design {"cells_m=3", sdp::holder_design::cells, 3},
                     design {"cells_m=4", sdp::holder_design::cells, 4}, design {"cyclic", sdp::holder_design::cyclic, 2}})
                if (world <= o.workers)
                    p.add({"designs/N:" + std::to_string(world) + "/k:" + std::to_string(k) + "/design:" + d.name,
                        {"draw", "gap"}, [=](const auto& chosen, int rounds) { return measure(world, k, d, chosen, rounds); }});
}

} // namespace plan_bench
