// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Output of a run: the trace, the summary and the progress line.

#include "common/learning/probe.hpp"
#include "common/model/task.hpp"
#include "common/settings/options.hpp"

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace trainer {

/// Bytes of model state, by kind.
struct state_bytes {
    std::uint64_t values = 0, gradients = 0, optimizer = 0;
};

/// One worker's figures. State is measured by the storage of live tensors; the full model that rank 0 assembles for an
/// evaluation is not part of it.
struct worker_report {
    std::uint64_t rank = 0;
    std::uint64_t held_parameters = 0; ///< trained here, which under forward masking is all that is stored
    std::uint64_t held_maskable_parameters = 0;
    state_bytes all;
    state_bytes maskable; ///< the share of parameters that lie in a block or on a neuron axis
    std::uint64_t activation_peak = 0; ///< most tensor bytes live in a pass beyond those before it, gradients included
    std::uint64_t peak = 0; ///< most tensor bytes live at any time of a step; 0 if workers share a device, whose allocator cannot
                            ///< tell them apart
    std::uint64_t gradients_at_peak = 0; ///< of these, gradients that were final; values and optimizer state are there throughout
    std::uint64_t exchange_buffers = 0; ///< what messages are packed into; the library's own, not tensors
    std::uint64_t bytes_sent = 0; ///< in the last step, by the counter
    std::uint64_t bytes_sent_formula = 0;
    /// Microseconds spent training, with `--breakdown`: computing, waiting for slower workers, exchanging.
    std::uint64_t computing = 0, waiting = 0, exchanging = 0;

    /// Calls `f` with every field, for sending them.
    template <class Self, class F> static void visit(Self& self, F f)
    {
        f(self.rank), f(self.held_parameters), f(self.held_maskable_parameters);
        f(self.all.values), f(self.all.gradients), f(self.all.optimizer);
        f(self.maskable.values), f(self.maskable.gradients), f(self.maskable.optimizer);
        f(self.activation_peak), f(self.peak), f(self.gradients_at_peak), f(self.exchange_buffers);
        f(self.bytes_sent), f(self.bytes_sent_formula);
        f(self.computing), f(self.waiting), f(self.exchanging);
    }
};

struct run_report {
    int steps = 0; ///< done
    bool interrupted = false;
    std::vector<std::pair<int, score>> held_out; ///< by step
    std::vector<std::pair<int, alignment>> alignments; ///< by step
    std::string item; ///< what is counted: tokens or images
    double items_per_second = 0; ///< of all workers, over the time spent training
    std::uint64_t items = 0; ///< trained on by all workers
    std::uint64_t full_parameters = 0, maskable_parameters = 0;
    state_bytes dense, dense_maskable; ///< what plain data parallelism keeps per worker, by formula
    std::uint64_t dense_bytes_sent = 0; ///< and what its busiest worker sends in a step
    int world = 0;
    /// Medians of a rehearsal that times both, seconds: a step with what the library does in it, and one without.
    std::optional<std::pair<double, double>> step_with_and_without;
    double spectral_gap = 0; ///< of the averaging over holders
    std::vector<worker_report> workers;
    std::string sample;
};

/// Writes the summary. @throws sdp::error if the file cannot be written
void write_summary(const std::string& path, const options& o, const run_report& r);

/// The training loss of every step, "step loss" with nine significant digits: enough to tell any two floats apart.
class trace_file {
public:
    /// An empty path means no file. @throws sdp::error if it cannot be written
    explicit trace_file(const std::string& path);
    void write(int step, double loss);

private:
    std::string path_;
    std::ofstream file_;
};

/// One line that is rewritten on a terminal, or a line now and then elsewhere.
class progress {
public:
    progress(std::string method, int steps, std::string item);
    void step(int done, double loss, double items_per_second);
    void held_out(int step, const score& s);
    /// Ends the line.
    void finish();

private:
    using clock = std::chrono::steady_clock;
    void clear();
    std::string method_, item_;
    int steps_;
    bool terminal_, dirty_ = false;
    clock::time_point start_ = clock::now(), shown_ {};
};

} // namespace trainer
