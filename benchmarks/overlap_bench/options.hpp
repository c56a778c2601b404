// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Options of overlap_bench's command line.

#include "../common/program.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace overlap_bench {

/// A number of holders that differs from unit to unit, between 2 and the number of workers.
inline constexpr int mixed_holders = 0;

struct options {
    std::string backend = "threads"; ///< or "mpi", where the launcher decides the number of workers
    int workers = 8;
    std::string layout = "scattered"; ///< see layout.hpp
    std::vector<int> holders; ///< empty: 2, 4 and 8, as far as there are workers
    std::vector<std::size_t> bytes {std::size_t {16} << 20}; ///< of the whole model; synthetic layouts only
    std::vector<std::size_t> run_bytes {4096}; ///< neighbouring bytes with one holder set; synthetic layouts only
    std::size_t parameters = 0; ///< of a synthetic layout; 0: as many as are of about 2 MiB each
    std::size_t scale = 1; ///< divides layers and vocabulary of a real layout
    std::size_t bucket_bytes = 0; ///< 0: what the library does by itself

    void add_to(CLI::App& app)
    {
        app.add_option("--backend", backend, "Workers")->check(CLI::IsMember({"threads", "mpi"}))->capture_default_str();
        app.add_option("--workers", workers, "Threads; of MPI the launcher decides")
            ->check(CLI::Range(1, 1024))
            ->capture_default_str();
        app.add_option("--layout", layout, "Model and who holds what")
            ->check(CLI::IsMember({"scattered", "llama-130m-neuron", "llama-130m-block"}))
            ->capture_default_str();
        app.add_option("--holders", holders, "Holders of every unit, or mixed; several are separated by commas")
            ->delimiter(',')
            ->transform([](std::string text) { return text == "mixed" ? "0" : text; }, "", "mixed")
            ->default_str("2,4,8");
        bench::add_sizes(app, "--bytes", bytes, "The whole model, synthetic layout");
        bench::add_sizes(app, "--run-bytes", run_bytes, "Neighbouring bytes with one set of holders, synthetic layout");
        bench::add_size(app, "--parameters", parameters, "Matrices of the synthetic layout; 0: about 2 MiB each");
        bench::add_size(app, "--scale", scale, "Divides layers and vocabulary of a real layout");
        bench::add_size(app, "--bucket-bytes", bucket_bytes, "0: the library's default");
    }
};

} // namespace overlap_bench
