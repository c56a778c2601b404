// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "measure.hpp"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <stdexcept>

namespace overlap_bench {
namespace {

    [[nodiscard]] double median(std::vector<double> values)
    {
        std::sort(values.begin(), values.end());
        const std::size_t half = values.size() / 2;
        return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
    }

    [[nodiscard]] double bus_bandwidth(const row& r)
    {
        return r.holders > 0 ? 2.0 * (r.holders - 1) / r.holders * r.held_bytes / (median(r.ms) * 1e6) : 0.0;
    }

} // namespace

std::vector<row> measure(const options& o, const row& setting, std::vector<contender>& contenders, const coordinator& all)
{
    std::vector<row> out(contenders.size(), setting);
    for (std::size_t c = 0; c < contenders.size(); ++c)
        out[c].route = contenders[c].route;
    for (int round = 0; round <= o.rounds; ++round)
        for (std::size_t c = 0; c < contenders.size(); ++c) {
            const bool checked = round == 0 || round == o.rounds;
            if (checked)
                contenders[c].prepare();
            all.barrier();
            const auto start = std::chrono::steady_clock::now();
            contenders[c].run();
            const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
            const double slowest = all.maximum(took.count());
            if (round > 0)
                out[c].ms.push_back(slowest);
            if (checked)
                out[c].wrong += contenders[c].check();
        }
    double dense = 0;
    for (const auto& r : out)
        if (r.route == "dense")
            dense = median(r.ms);
    for (std::size_t c = 0; c < contenders.size(); ++c) {
        out[c].dense_ms = dense;
        out[c].bytes_sent_max = static_cast<std::uint64_t>(all.maximum(static_cast<double>(contenders[c].bytes_sent)));
        out[c].bytes_sent_bound = static_cast<std::uint64_t>(all.maximum(static_cast<double>(contenders[c].bytes_bound)));
        out[c].wrong = static_cast<std::uint64_t>(all.maximum(static_cast<double>(out[c].wrong)));
    }
    return out;
}

void print_header()
{
    std::printf("%-8s %-12s %3s %3s %12s %9s %10s %10s %10s %7s %8s %12s %12s %6s\n", "backend", "route", "N", "k", "bytes",
        "run", "median ms", "min ms", "max ms", "ratio", "busbw", "sent max", "bound", "#wrong");
}

void print(const row& r)
{
    const auto [low, high] = std::minmax_element(r.ms.begin(), r.ms.end());
    std::printf("%-8s %-12s %3d %3d %12zu %9zu %10.3f %10.3f %10.3f %7.3f %8.2f %12llu %12llu %6llu\n", r.backend.c_str(),
        r.route.c_str(), r.workers, r.holders, r.bytes, r.run_bytes, median(r.ms), *low, *high, median(r.ms) / r.dense_ms,
        bus_bandwidth(r), static_cast<unsigned long long>(r.bytes_sent_max), static_cast<unsigned long long>(r.bytes_sent_bound),
        static_cast<unsigned long long>(r.wrong));
    std::fflush(stdout);
}

void write_json(const std::string& path, const row& r)
{
    std::ofstream file(path, std::ios::app);
    if (!file)
        throw std::runtime_error("cannot write to " + path);
    const auto [low, high] = std::minmax_element(r.ms.begin(), r.ms.end());
    file << "{\"backend\":\"" << r.backend << "\",\"route\":\"" << r.route << "\",\"workers\":" << r.workers
         << ",\"holders\":" << r.holders << ",\"bytes\":" << r.bytes << ",\"run_bytes\":" << r.run_bytes
         << ",\"median_ms\":" << median(r.ms) << ",\"min_ms\":" << *low << ",\"max_ms\":" << *high
         << ",\"dense_ms\":" << r.dense_ms << ",\"ratio\":" << median(r.ms) / r.dense_ms << ",\"busbw_gbs\":" << bus_bandwidth(r)
         << ",\"bytes_sent_max\":" << r.bytes_sent_max << ",\"bytes_sent_bound\":" << r.bytes_sent_bound
         << ",\"wrong\":" << r.wrong << "}\n";
}

} // namespace overlap_bench
