// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "program.hpp"

#include <sdp/version.hpp>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <map>
#include <ostream>

namespace bench {
namespace {

    /// Keeps quiet while a first pass finds out which benchmarks the filter selects.
    class silent_reporter final : public benchmark::BenchmarkReporter {
    public:
        silent_reporter()
        {
            SetOutputStream(&nowhere_);
            SetErrorStream(&nowhere_);
        }
        bool ReportContext(const Context&) override { return true; }
        void ReportRuns(const std::vector<Run>&) override { }

    private:
        std::ostream nowhere_ {nullptr};
    };

    [[nodiscard]] double least(const std::vector<double>& values)
    {
        return *std::min_element(values.begin(), values.end());
    }
    [[nodiscard]] double most(const std::vector<double>& values)
    {
        return *std::max_element(values.begin(), values.end());
    }

    /// Measures settings as their first benchmarks are run, and hands out the times.
    class stage {
    public:
        stage(const std::vector<setting>& settings, int rounds, std::function<const results&(std::size_t)> measure)
            : settings_(settings)
            , rounds_(rounds)
            , measure_(std::move(measure))
        {
        }

        void repetition(benchmark::State& state, std::size_t s, std::size_t c)
        {
            try {
                const auto& mine = measure_(s).at(settings_[s].contenders[c]);
                if (mine.wrong > 0) {
                    failed_ = true;
                    state.SkipWithError((std::to_string(mine.wrong) + " elements are wrong").c_str());
                    return;
                }
                const std::size_t round = repetitions_[{s, c}]++ % static_cast<std::size_t>(rounds_);
                for ([[maybe_unused]] auto _ : state)
                    state.SetIterationTime(mine.seconds[round]);
                for (const auto& [name, value] : mine.fixed)
                    state.counters[name] = value;
                for (const auto& [name, values] : mine.by_round)
                    state.counters[name] = values[round];
                if (!mine.label.empty())
                    state.SetLabel(mine.label);
            } catch (const std::exception& e) {
                failed_ = true;
                state.SkipWithError(e.what());
            }
        }
        [[nodiscard]] bool failed() const noexcept { return failed_; }

    private:
        const std::vector<setting>& settings_;
        int rounds_;
        std::function<const results&(std::size_t)> measure_;
        std::map<std::pair<std::size_t, std::size_t>, std::size_t> repetitions_;
        bool failed_ = false;
    };

} // namespace

bool selection::has(std::string_view name) const
{
    return std::find(names_.begin(), names_.end(), name) != names_.end();
}

program::program(const std::string& about, int rounds)
    : flags_(about)
    , rounds_(rounds)
{
    flags_.allow_extras();
    flags_.footer("All flags of Google Benchmark are understood as well: --benchmark_filter=REGEX, --benchmark_list_tests,\n"
                  "--benchmark_format=json, --benchmark_out=FILE, …");
    flags_.add_option("--benchmark_repetitions", rounds_, "Rounds in which the contenders of a setting take turns")
        ->check(CLI::PositiveNumber)
        ->capture_default_str()
        ->envname("BENCHMARK_REPETITIONS");
}

void program::parse(int argc, char** argv)
{
    try {
        flags_.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        std::exit(flags_.exit(e));
    }
    // The user's own come last, since the last of two counts.
    arguments_ = {argv[0], "--benchmark_counters_tabular=true", "--benchmark_display_aggregates_only=true",
        "--benchmark_repetitions=" + std::to_string(rounds_)};
    for (auto& argument : flags_.remaining()) {
        if (!argument.starts_with("--benchmark_") && !argument.starts_with("--v=")) {
            std::fprintf(stderr, "'%s' is not understood; --help lists the flags\n", argument.c_str());
            std::exit(1);
        }
        arguments_.push_back(std::move(argument));
    }
}

selection program::selected(const announcement& what) const
{
    std::vector<std::string> names;
    const auto& all = settings_[static_cast<std::size_t>(what.setting)].contenders;
    for (std::size_t c = 0; c < all.size(); ++c)
        if (what.selected[c] != 0)
            names.push_back(all[c]);
    return selection(std::move(names));
}

int program::lead(const std::function<void(const announcement&)>& announce)
{
    std::vector<char*> argv;
    for (auto& argument : arguments_)
        argv.push_back(argument.data());
    int argc = static_cast<int>(argv.size());
    argv.push_back(nullptr);
    benchmark::Initialize(&argc, argv.data());
    if (benchmark::ReportUnrecognizedArguments(argc, argv.data())) {
        announce({});
        return 1;
    }
    benchmark::AddCustomContext("sdp_version",
        std::to_string(SDP_VERSION_MAJOR) + '.' + std::to_string(SDP_VERSION_MINOR) + '.' + std::to_string(SDP_VERSION_PATCH));
    benchmark::AddCustomContext("compiler", __VERSION__);

    std::vector<announcement> chosen;
    for (std::size_t s = 0; s < settings_.size(); ++s)
        chosen.push_back({static_cast<int>(s), std::vector<char>(settings_[s].contenders.size(), 0)});
    std::map<std::size_t, results> done;
    const auto measured_setting = [&](std::size_t s) -> const results& {
        auto at = done.find(s);
        if (at == done.end()) {
            announce(chosen[s]);
            at = done.emplace(s, settings_[s].measure(selected(chosen[s]), rounds_)).first;
        }
        return at->second;
    };
    stage all(settings_, rounds_, measured_setting);
    bool choosing = true;
    for (std::size_t s = 0; s < settings_.size(); ++s)
        for (std::size_t c = 0; c < settings_[s].contenders.size(); ++c)
            benchmark::RegisterBenchmark((settings_[s].name + '/' + settings_[s].contenders[c]).c_str(),
                [&, s, c](benchmark::State& state) {
                    if (!choosing)
                        return all.repetition(state, s, c);
                    chosen[s].selected[c] = 1;
                    for ([[maybe_unused]] auto _ : state)
                        state.SetIterationTime(1e-9);
                })
                ->Iterations(1)
                ->UseManualTime()
                ->ComputeStatistics("min", least)
                ->ComputeStatistics("max", most);
    silent_reporter nobody;
    benchmark::RunSpecifiedBenchmarks(&nobody);
    choosing = false;
    const std::size_t matched = benchmark::RunSpecifiedBenchmarks();
    announce({});
    benchmark::Shutdown();
    return all.failed() || matched == 0 ? 1 : 0;
}

void program::follow(const std::function<announcement()>& next)
{
    for (auto what = next(); what.setting >= 0; what = next())
        static_cast<void>(settings_[static_cast<std::size_t>(what.setting)].measure(selected(what), rounds_));
}

int guarded(const char* name, const std::function<int()>& body)
{
    try {
        return body();
    } catch (const std::exception& e) {
        std::fprintf(stderr, "%s: %s\n", name, e.what());
        return 1;
    }
}

CLI::Option* add_sizes(CLI::App& app, const std::string& flag, std::vector<std::size_t>& sizes, const std::string& about)
{
    return app.add_option(flag, sizes, about)->delimiter(',')->transform(CLI::AsSizeValue(false))->capture_default_str();
}

CLI::Option* add_size(CLI::App& app, const std::string& flag, std::size_t& size, const std::string& about)
{
    return app.add_option(flag, size, about)->transform(CLI::AsSizeValue(false))->capture_default_str();
}

std::string size_name(std::size_t bytes)
{
    for (const auto& [unit, name] : {std::pair {30, 'G'}, {20, 'M'}, {10, 'K'}})
        if (bytes >= std::size_t {1} << unit && bytes % (std::size_t {1} << unit) == 0)
            return std::to_string(bytes >> unit) + name;
    return std::to_string(bytes);
}

} // namespace bench
