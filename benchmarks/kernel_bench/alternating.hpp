// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief A matrix of which worker 0 shares every other neuron with the same workers, so runs of two classes take turns.

#include "../common/program.hpp"

#include <sdp/masking/forward.hpp>
#include <sdp/overlap/make_plan.hpp>

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

namespace kernel_bench {

struct shape {
    bool columns; ///< neurons are columns of the matrix, else rows
    std::size_t run_bytes; ///< of one neuron in a row
    std::size_t tensor_bytes;
    int holders;
};

/// Every combination of split, length of runs and holders. A tensor has at most 2^24 runs: short ones take a smaller one.
[[nodiscard]] inline std::vector<shape> shapes(std::size_t tensor_bytes, const std::vector<int>& holders)
{
    constexpr std::size_t most_runs = std::size_t {1} << 24;
    std::vector<shape> out;
    for (const bool columns : {false, true})
        for (const std::size_t run_bytes : {4, 16, 64, 256, 512, 4096, 65'536})
            for (const int k : holders)
                out.push_back({columns, run_bytes, std::min(tensor_bytes, run_bytes * most_runs), k});
    return out;
}

[[nodiscard]] inline std::string name_of(const shape& s)
{
    return std::string("split:") + (s.columns ? "columns" : "rows") + "/run:" + bench::size_name(s.run_bytes)
        + "/k:" + std::to_string(s.holders);
}

/// Worker 0's part of the matrix.
struct alternating_matrix {
    sdp::model model;
    sdp::residency residents;
    sdp::subnetwork mine;

    explicit alternating_matrix(const shape& s)
        : alternating_matrix(s, described(s))
    {
    }

private:
    static constexpr std::size_t wide = 64; ///< runs in a row, split by columns

    alternating_matrix(const shape& s, sdp::model m)
        : model(std::move(m))
        , residents(model, assigned(s, model), sdp::forward_masking {})
        , mine(model, residents, 0)
    {
    }

    [[nodiscard]] static sdp::model described(const shape& s)
    {
        const auto run = static_cast<sdp::index_t>(s.run_bytes / sizeof(float));
        const auto neurons = static_cast<sdp::index_t>(s.columns ? wide : s.tensor_bytes / s.run_bytes);
        const auto rows = static_cast<sdp::index_t>(s.tensor_bytes / (s.run_bytes * wide));
        sdp::model m;
        const auto group = m.add_group("neurons", neurons);
        if (s.columns)
            m.add_parameter("matrix", {rows, neurons * run}, {.axes = {{1, group}}});
        else
            m.add_parameter("matrix", {neurons, run}, {.axes = {{0, group}}});
        return m;
    }

    [[nodiscard]] static sdp::assignment assigned(const shape& s, const sdp::model& m)
    {
        sdp::assignment a(m, 2 * s.holders - 1);
        const auto with = [&](int first) {
            std::vector<int> ranks(static_cast<std::size_t>(s.holders), 0);
            std::iota(ranks.begin() + 1, ranks.end(), first);
            return a.add_holders(sdp::rank_set(ranks));
        };
        const std::uint32_t holders[] {with(1), with(s.holders)};
        std::vector<sdp::assignment::unit> units;
        for (sdp::index_t i = 0; i < m.groups()[0].neurons; ++i)
            units.push_back({i, i + 1, holders[i % 2]});
        a.assign(sdp::group_id(0), std::move(units));
        return a;
    }
};

/// Adds rates to results: bytes read and written per second, and that over the rate of `copy` in the same round.
inline void add_rates(bench::results& out, const bench::counters& bytes, const char* copy)
{
    for (auto& [name, m] : out) {
        m.fixed["bytes"] = bytes.at(name);
        for (std::size_t round = 0; round < m.seconds.size(); ++round) {
            const double rate = bytes.at(name) / m.seconds[round];
            m.by_round["GB/s"].push_back(rate / 1e9);
            m.by_round["of_copy"].push_back(out.contains(copy) ? rate * out.at(copy).seconds[round] / bytes.at(copy) : 0);
        }
    }
}

} // namespace kernel_bench
