// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief A benchmark program: flags of its own for what is measured, Google Benchmark for everything else.
///
/// Google Benchmark runs all repetitions of one benchmark before those of the next, and its random interleaving differs from rank
/// to rank. Contenders of a setting have to take turns in one order on all workers. So the first benchmark of a setting measures
/// the whole setting, a round per repetition, and each benchmark reports its own times of those rounds as manual times.
/// Contenders that the filter leaves out do not take part.
///
/// Of several processes one leads: it runs Google Benchmark. The others follow, setting by setting.

#include "contender.hpp"

#include <CLI/CLI.hpp>

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

/// Contenders that are to take part, by name.
class selection {
public:
    explicit selection(std::vector<std::string> names)
        : names_(std::move(names))
    {
    }
    [[nodiscard]] bool has(std::string_view name) const;
    [[nodiscard]] const std::vector<std::string>& names() const noexcept { return names_; }

private:
    std::vector<std::string> names_;
};

/// Contenders that do the same work, each a benchmark of its own named `<setting>/<contender>`.
struct setting {
    std::string name;
    std::vector<std::string> contenders;
    /// Measures those selected for so many rounds. Collective; the leader's results are reported.
    std::function<results(const selection&, int)> measure;
};

/// The setting that comes next and the contenders that take part, by position.
struct announcement {
    int setting = -1; ///< negative: the program ends
    std::vector<char> selected; ///< by contender
};

class program {
public:
    /// @param rounds repetitions, where `--benchmark_repetitions` does not say
    program(const std::string& about, int rounds);

    /// Flags of the program's own go here.
    [[nodiscard]] CLI::App& flags() noexcept { return flags_; }

    /// Exits with a message on a flag that neither the program nor Google Benchmark knows.
    void parse(int argc, char** argv);

    /// Settings are added after `parse`, in the same order on all processes.
    void add(setting s) { settings_.push_back(std::move(s)); }

    /// Runs Google Benchmark. `announce` tells the other processes what comes next.
    /// @return the program's exit status: 1 if an element was wrong or a setting failed
    [[nodiscard]] int lead(const std::function<void(const announcement&)>& announce = [](const announcement&) {});

    /// Measures what the leader announces until the program ends.
    void follow(const std::function<announcement()>& next);

private:
    [[nodiscard]] selection selected(const announcement& what) const;

    CLI::App flags_;
    int rounds_;
    std::vector<std::string> arguments_; ///< for Google Benchmark
    std::vector<setting> settings_;
};

/// Calls `body`, and makes an exception one line and a failure of the program.
[[nodiscard]] int guarded(const char* name, const std::function<int()>& body);

/// A list of sizes: numbers with K, M or G behind them or nothing, separated by commas.
CLI::Option* add_sizes(CLI::App& app, const std::string& flag, std::vector<std::size_t>& sizes, const std::string& about);

/// One size.
CLI::Option* add_size(CLI::App& app, const std::string& flag, std::size_t& size, const std::string& about);

/// A size as flags take it: 16M, 4K, 12.
[[nodiscard]] std::string size_name(std::size_t bytes);

} // namespace bench
