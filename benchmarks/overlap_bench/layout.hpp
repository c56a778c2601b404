// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Synthetic layouts: a matrix whose columns are dealt to holder sets in runs of a given length, in no useful order.

#include <sdp/sdp.hpp>

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <vector>

namespace overlap_bench {

/// Neighbouring runs have different holders, all k-subsets of the workers equally often: nothing merges, which is the case
/// to fear. The library's own neuron partition puts equal holder sets side by side.
struct scattered_partition {
    int holders = 2;

    [[nodiscard]] static std::vector<sdp::rank_set> subsets(int world, int k)
    {
        std::vector<sdp::rank_set> out;
        std::vector<bool> chosen(static_cast<std::size_t>(world), false);
        std::fill(chosen.begin(), chosen.begin() + k, true);
        do {
            std::vector<int> ranks;
            for (int rank = 0; rank < world; ++rank)
                if (chosen[static_cast<std::size_t>(rank)])
                    ranks.push_back(rank);
            out.emplace_back(ranks);
        } while (std::prev_permutation(chosen.begin(), chosen.end()));
        // A stride that is coprime to the count visits every subset and separates neighbours.
        std::vector<sdp::rank_set> mixed(out.size());
        std::size_t stride = out.size() / 3 + 1;
        while (std::gcd(stride, out.size()) != 1)
            ++stride;
        for (std::size_t i = 0; i < out.size(); ++i)
            mixed[i] = out[i * stride % out.size()];
        return mixed;
    }

    [[nodiscard]] sdp::assignment operator()(const sdp::model& m, int world) const
    {
        sdp::assignment out(m, world);
        const auto sets = subsets(world, holders);
        for (std::size_t g = 0; g < m.groups().size(); ++g) {
            std::vector<sdp::neuron_unit> units;
            for (sdp::index_t n = 0; n < m.groups()[g].neurons; ++n)
                units.push_back({n, n + 1, sets[static_cast<std::size_t>(n) % sets.size()]});
            out.assign(sdp::group_id(g), units);
        }
        return out;
    }
};

/// A float matrix of about `bytes`, with runs of `run_bytes` within a row; about a thousand runs a row where there are as
/// many.
[[nodiscard]] inline sdp::model scattered_model(std::size_t bytes, std::size_t run_bytes, std::size_t sets)
{
    const std::size_t run = std::max<std::size_t>(run_bytes / sizeof(float), 1);
    const std::size_t runs = std::max<std::size_t>(bytes / sizeof(float) / run, 1);
    // Whole rounds over the holder sets, so that all workers hold as much.
    const std::size_t in_row = std::max<std::size_t>(std::min<std::size_t>(runs, 1024) / sets, 1) * sets;
    const std::size_t rows = std::max<std::size_t>(runs / in_row, 1);
    sdp::model m;
    const auto columns = m.add_group("columns", static_cast<sdp::index_t>(in_row));
    m.add_parameter(
        "matrix", {static_cast<sdp::index_t>(rows), static_cast<sdp::index_t>(in_row * run)}, {.axes = {{1, columns}}});
    return m;
}

} // namespace overlap_bench
