// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Code around the training for every communicator: checking the input, reporting errors and results.

#include "common/model/program.hpp"
#include "common/model/task.hpp"
#include "common/run/report.hpp"
#include "common/settings/options.hpp"

#include <exception>
#include <memory>
#include <string>

namespace trainer {

/// Checked options, and what to train.
struct job {
    options o;
    std::shared_ptr<const task> what;
};

/// Reads and checks everything that can be checked without training: what is wrong is found by every worker alike.
/// @param workers how many there are; 0 if the options decide
/// @throws sdp::error, help_request
job prepare(int argc, char** argv, program& p, int workers);

/// Exit status and what to say.
struct outcome {
    int code = 0;
    std::string message;
};

/// The outcome that an exception stands for: 0 for a help text, 2 for wrong usage, else 1.
outcome outcome_of(const std::exception_ptr& thrown);

/// Prints the message where it belongs, under the program's name. Returns the code.
int report(const std::string& name, const outcome& result);

/// Prints the sample and writes the summary. @throws sdp::error
void publish(const options& o, const run_report& r);

/// Trains; the report of rank 0. Each is compiled only where its back end was found, else it throws an error that says so.
run_report train_on_threads(const job& work);
run_report train_on_device_threads(const job& work);
run_report train_on_nccl(const job& work);
/// One worker without peers.
run_report rehearse(const job& work);
run_report rehearse_on_device(const job& work);

/// The program on MPI ranks; its exit status.
int run_on_mpi(int argc, char** argv, program& p);

} // namespace trainer
