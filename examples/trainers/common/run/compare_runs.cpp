// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief Puts the summaries of runs side by side, and their loss curves into one table.

#include "../settings/sentence.hpp"
#include <sdp/error.hpp>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <string>
#include <vector>

namespace {

using trainer::fail;

using json = nlohmann::json;

json read_summary(const std::string& path)
{
    std::ifstream file(path);
    if (!file)
        fail("cannot open the summary '", path, "'");
    try {
        return json::parse(file);
    } catch (const json::exception& e) {
        fail("the summary '", path, "' is not JSON: ", e.what());
    }
}

std::string number(double value, const char* format)
{
    char out[64];
    std::snprintf(out, sizeof out, format, value);
    return out;
}

/// The greatest value over the workers: what a machine must be able to carry.
std::uint64_t heaviest(const json& run, const std::function<std::uint64_t(const json&)>& of)
{
    std::uint64_t out = 0;
    for (const auto& worker : run.at("workers"))
        out = std::max(out, of(worker));
    return out;
}

std::uint64_t sum(const json& from, std::initializer_list<const char*> keys)
{
    std::uint64_t out = 0;
    for (const auto* key : keys)
        out += from.at(key).get<std::uint64_t>();
    return out;
}

std::string mebibytes(std::uint64_t bytes)
{
    return number(static_cast<double>(bytes) / (1 << 20), "%.2f MiB");
}

void print_table(const std::vector<json>& runs)
{
    using row = std::function<std::string(const json&)>;
    const auto key = [](const char* name, const char* format) -> row {
        return [=](const json& run) { return number(run.at(name).get<double>(), format); };
    };
    const auto worst = [](std::initializer_list<const char*> keys) -> row {
        return [list = std::vector<const char*>(keys)](const json& run) {
            return mebibytes(heaviest(run, [&](const json& w) {
                std::uint64_t out = 0;
                for (const auto* name : list)
                    out += w.at(name).get<std::uint64_t>();
                return out;
            }));
        };
    };
    const std::vector<std::pair<std::string, row>> rows {
        {"", [](const json& run) { return run.at("method").get<std::string>(); }},
        {"training steps", key("steps", "%.0f")},
        {"held-out loss, nats per byte", key("final_heldout_loss", "%.4f")},
        {"  the best on the way", key("best_heldout_loss", "%.4f")},
        {"  in bits per byte",
            [](const json& run) { return number(run.at("final_heldout_loss").get<double>() / 0.6931471805599453, "%.3f"); }},
        {"parameters held per worker",
            [](const json& run) {
                const auto held = heaviest(run, [](const json& w) { return w.at("held_parameters").get<std::uint64_t>(); });
                return number(100 * static_cast<double>(held) / run.at("full_parameters").get<double>(), "%.1f %%");
            }},
        {"values + gradients + optimizer", worst({"value_bytes", "gradient_bytes", "optimizer_bytes"})},
        {"  of the part that can be split",
            worst({"maskable_value_bytes", "maskable_gradient_bytes", "maskable_optimizer_bytes"})},
        {"  ... against plain data parallelism",
            [](const json& run) {
                const auto keys = {"maskable_value_bytes", "maskable_gradient_bytes", "maskable_optimizer_bytes"};
                const auto mine = heaviest(run, [&](const json& w) { return sum(w, keys); });
                return number(
                    100 * static_cast<double>(mine) / static_cast<double>(sum(run.at("data_parallel"), keys)), "%.1f %%");
            }},
        {"most in a pass beyond that", worst({"activation_peak_bytes"})},
        {"sent per worker and step", worst({"bytes_sent_per_step"})},
        {"  by formula", worst({"bytes_sent_formula"})},
        {"tokens per second, all workers", key("tokens_per_second", "%.0f")},
    };
    for (const auto& [name, of] : rows) {
        std::printf("%-38s", name.c_str());
        for (const auto& run : runs)
            std::printf("%22s", of(run).c_str());
        std::printf("\n");
    }
}

/// One line per step: the training loss of every run, then the held-out loss of every run. Empty where there is none.
void write_curves(const std::string& path, const std::vector<json>& runs, const std::vector<std::string>& traces)
{
    std::map<int, std::vector<std::string>> lines;
    const auto cell = [&](int step, std::size_t column) -> std::string& {
        return lines.try_emplace(step, 2 * runs.size()).first->second[column];
    };
    for (std::size_t r = 0; r < runs.size(); ++r) {
        std::ifstream trace(traces[r]);
        if (!trace)
            fail("cannot open the trace '", traces[r], "'");
        int step = 0;
        for (std::string loss; trace >> step >> loss;)
            cell(step, r) = loss;
        for (const auto& [at, loss] : runs[r].at("heldout_curve").get<std::vector<std::pair<int, double>>>())
            cell(at, runs.size() + r) = number(loss, "%.9g");
    }
    std::ofstream file(path);
    file << "step";
    for (const auto* kind : {"training", "held-out"})
        for (const auto& run : runs)
            file << ',' << run.at("method").get<std::string>() << ' ' << kind;
    file << '\n';
    for (const auto& [step, cells] : lines) {
        file << step;
        for (const auto& value : cells)
            file << ',' << value;
        file << '\n';
    }
    if (!file.flush())
        fail("cannot write '", path, "'");
}

} // namespace

int main(int argc, char** argv)
{
    std::vector<std::string> summaries, traces;
    std::string curves;
    CLI::App app("Compares runs of train_llama.", "compare_runs");
    app.add_option("summaries", summaries, "what --summary wrote")->required();
    app.add_option("--traces", traces, "what --trace wrote, in the same order");
    app.add_option("--curves", curves, "file for the loss curves, as CSV");
    CLI11_PARSE(app, argc, argv);
    try {
        if (!curves.empty() && traces.size() != summaries.size())
            fail("--curves needs a trace for each of the ", summaries.size(), " summaries; ", traces.size(), " were given");
        std::vector<json> runs;
        for (const auto& path : summaries)
            runs.push_back(read_summary(path));
        print_table(runs);
        if (!curves.empty())
            write_curves(curves, runs, traces);
        return 0;
    } catch (const std::exception& e) {
        std::cerr << "compare_runs: " << e.what() << std::endl;
        return 1;
    }
}
