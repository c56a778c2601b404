// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "measure.hpp"
#include "settings.hpp"

#include <sdp/masking/backward.hpp>
#include <sdp/masking/forward.hpp>
#include <sdp/partition/detail/balanced_design.hpp>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace plan_bench {
namespace {

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

    struct layout {
        const char* split;
        int holders, matrices;
        bool columns, backward;
    };

    [[nodiscard]] bench::results measure(const options& o, const layout& l, const bench::selection& chosen, int rounds)
    {
        // A worker stores k of 64 neurons; under backward masking all of them.
        const auto neurons = l.backward ? o.runs : std::max<sdp::index_t>(64, o.runs * scattered_world / l.holders / l.matrices);
        const auto units = scattered_units(neurons, l.holders);
        const auto assign = [&](const sdp::model& m) {
            sdp::assignment a(m, scattered_world);
            a.assign(sdp::group_id(0), units);
            return a;
        };
        const auto describe = [&] { return matrices(neurons, l.matrices, l.columns); };
        const auto a = assign(describe());
        std::vector<bench::contender> contenders;
        if (chosen.has("plan"))
            contenders.push_back(planning("plan", &planned::plan_ms, [&] {
                return l.backward ? plan_once(describe, assign, sdp::backward_masking {}, 0)
                                  : plan_once(describe, assign, sdp::forward_masking {}, 0);
            }));
        if (chosen.has("walk")) {
            auto& c = contenders.emplace_back();
            c.name = "walk";
            c.run = [&] { return walk_ms(a, l.matrices) / 1e3; };
        }
        return bench::measure(contenders, rounds, bench::alone());
    }

} // namespace

void add_runs(const options& o, bench::program& p)
{
    for (const auto& l : {layout {"rows", 2, 8, false, false}, layout {"columns", 2, 8, true, false},
             layout {"rows", 3, 8, false, false}, layout {"rows", 2, 1, false, true}, layout {"columns", 8, 4, true, false}})
        p.add({"runs/split:" + std::string(l.split) + "/masking:" + (l.backward ? "backward" : "forward")
                + "/k:" + std::to_string(l.holders) + "/matrices:" + std::to_string(l.matrices),
            {"plan", "walk"}, [=](const auto& chosen, int rounds) { return measure(o, l, chosen, rounds); }});
}

} // namespace plan_bench
