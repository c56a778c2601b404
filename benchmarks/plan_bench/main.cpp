// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief Times how a worker gets from a model's description to its overlap plan, and says what the holder designs are like.
///
/// `plan_bench`                                everything, at full size
/// `plan_bench --benchmark_filter=designs`     the table of docs/designs.md
///
/// Times are processor time: planning is one thread's work.
///
/// - `runs`: layouts in which neighbouring neurons have different holders, so that a worker's plan has a million runs. In the
///   last, nearly every neuron has holders of its own: a class with its owners for each run, which no policy makes.
///   Bounds: a plan in 250 ms and 32 bytes per run. `walk` is the baseline: a list of its runs without owners, classes or
///   order, made by one walk over the units for every matrix. `index_B/run` is what a 32-bit index per element would take.
/// - `llama`: LLaMA-3.1-405B's shapes on 16,384 workers, one worker's way from the description to the plan. Bounds: 1 s, and
///   256 MiB of heap at its peak.
/// - `designs`: peers, spectral gap and balance of the holder designs.

#include "settings.hpp"

#include <benchmark/benchmark.h>

int main(int argc, char** argv)
{
    return bench::guarded("plan_bench", [&] {
        bench::program program("Times planning: from a model's description to a worker's overlap plan.", 3);
        plan_bench::options o;
        program.flags().add_option("--runs", o.runs, "On one worker, about")->check(CLI::PositiveNumber)->capture_default_str();
        program.flags().add_option("--layers", o.layers, "Of the LLaMA")->check(CLI::PositiveNumber)->capture_default_str();
        program.flags()
            .add_option("--workers", o.workers, "64 or a multiple of 1024")
            ->check(CLI::PositiveNumber)
            ->check([](const std::string& text) {
                const int workers = std::stoi(text);
                return workers == 64 || workers % 1024 == 0 ? "" : "has " + text + "; expected 64 or a multiple of 1024";
            })
            ->capture_default_str();
        program.parse(argc, argv);
        benchmark::SetDefaultTimeUnit(benchmark::kMillisecond);
        plan_bench::add_runs(o, program);
        plan_bench::add_llama(o, program);
        plan_bench::add_designs(o, program);
        return program.lead();
    });
}
