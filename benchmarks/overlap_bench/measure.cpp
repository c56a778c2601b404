// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "measure.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <stdexcept>

namespace overlap_bench {
namespace {

    [[nodiscard]] double bus_bandwidth(const row& r)
    {
        return r.wire_bytes / (median(r.ms) * 1e6);
    }

    [[nodiscard]] double ratio(const row& r)
    {
        return r.dense_ms > 0 ? median(r.ms) / r.dense_ms : 0;
    }

    void print(const row& r)
    {
        const auto [low, high] = std::minmax_element(r.ms.begin(), r.ms.end());
        const auto k = r.holders == mixed_holders ? std::string("mix") : std::to_string(r.holders);
        std::printf("%-8s %-12s %3d %3s %12zu %9zu %10.3f %10.3f %10.3f %7.3f %8.2f %12llu %12llu %6llu\n", r.backend.c_str(),
            r.route.c_str(), r.workers, k.c_str(), r.bytes, r.run_bytes, median(r.ms), *low, *high, ratio(r), bus_bandwidth(r),
            static_cast<unsigned long long>(r.bytes_sent_max), static_cast<unsigned long long>(r.bytes_sent_bound),
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
             << ",\"dense_ms\":" << r.dense_ms << ",\"ratio\":" << ratio(r) << ",\"busbw_gbs\":" << bus_bandwidth(r)
             << ",\"bytes_sent_max\":" << r.bytes_sent_max << ",\"bytes_sent_bound\":" << r.bytes_sent_bound
             << ",\"wrong\":" << r.wrong << ",\"layout\":\"" << r.layout << "\",\"parameters\":" << r.parameters
             << ",\"held_bytes\":" << r.held_bytes << ",\"bytes_sent_mean\":" << r.bytes_sent_mean
             << ",\"bytes_off\":" << r.bytes_off << ",\"rounds\":" << r.ms.size() << ",\"algorithm\":\"" << r.algorithm
             << "\"}\n";
    }

} // namespace

double median(std::vector<double> values)
{
    std::sort(values.begin(), values.end());
    const std::size_t half = values.size() / 2;
    return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

std::vector<row> measure(const options& o, const row& setting, std::vector<contender>& contenders, const coordinator& all)
{
    using clock = std::chrono::steady_clock;
    std::vector<row> out(contenders.size(), setting);
    for (std::size_t c = 0; c < contenders.size(); ++c) {
        out[c].route = contenders[c].route;
        out[c].algorithm = contenders[c].algorithm;
    }
    const auto run = [&](std::size_t c) {
        all.barrier();
        const auto start = clock::now();
        contenders[c].run();
        return all.maximum(std::chrono::duration<double, std::milli>(clock::now() - start).count());
    };
    const auto checked_round = [&] {
        for (std::size_t c = 0; c < contenders.size(); ++c) {
            contenders[c].prepare();
            static_cast<void>(run(c));
            out[c].wrong += contenders[c].check();
        }
    };

    checked_round();
    for (std::size_t c = 0; c < contenders.size(); ++c) // fills the caches that filling and checking have emptied
        static_cast<void>(run(c));
    double seconds = 0; // by the slowest workers' clocks, which all know alike
    for (int round = 0; round < 3 || seconds < o.most_seconds; ++round) {
        if (round >= o.rounds && (seconds >= o.least_seconds || round >= 16 * o.rounds))
            break;
        for (std::size_t c = 0; c < contenders.size(); ++c) {
            out[c].ms.push_back(run(c));
            seconds += out[c].ms.back() / 1e3;
        }
    }
    checked_round();

    double dense = 0;
    for (const auto& r : out)
        if (r.route == "dense")
            dense = median(r.ms);
    for (std::size_t c = 0; c < contenders.size(); ++c) {
        const auto sent = static_cast<double>(contenders[c].bytes_sent);
        out[c].dense_ms = dense;
        out[c].bytes_sent_max = static_cast<std::uint64_t>(all.maximum(sent));
        out[c].bytes_sent_mean = all.sum(sent) / setting.workers;
        out[c].bytes_off = all.sum(std::abs(sent - static_cast<double>(contenders[c].bytes_bound)));
        out[c].bytes_sent_bound = static_cast<std::uint64_t>(all.maximum(static_cast<double>(contenders[c].bytes_bound)));
        out[c].wrong = static_cast<std::uint64_t>(all.sum(static_cast<double>(out[c].wrong)));
    }
    return out;
}

void print_header()
{
    std::printf("%-8s %-12s %3s %3s %12s %9s %10s %10s %10s %7s %8s %12s %12s %6s\n", "backend", "route", "N", "k", "bytes",
        "run", "median ms", "min ms", "max ms", "ratio", "busbw", "sent max", "bound", "#wrong");
}

void report(const options& o, const std::vector<row>& rows, const coordinator& all)
{
    if (all.root)
        for (const auto& r : rows) {
            print(r);
            if (!o.json.empty())
                write_json(o.json, r);
        }
    for (const auto& r : rows)
        if (r.wrong > 0)
            throw std::runtime_error("route " + r.route + " computed wrong elements");
}

} // namespace overlap_bench
