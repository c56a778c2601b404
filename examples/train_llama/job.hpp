// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief What surrounds the training whatever the communicator: checking the input, reporting errors and results.

#include "data.hpp"
#include "options.hpp"
#include "report.hpp"

#include <exception>
#include <memory>
#include <string>

namespace trainer {

/// Checked options and the text.
struct job {
    options o;
    std::shared_ptr<const text> data;
};

/// Reads and checks everything that can be checked without training: what is wrong is found by every worker alike.
/// @param workers how many there are; 0 if the options decide
/// @throws sdp::error, help_request
job prepare(int argc, char** argv, int workers);

/// Exit status and what to say.
struct outcome {
    int code = 0;
    std::string message;
};

/// The outcome that an exception stands for: 0 for a help text, 2 for wrong usage, else 1.
outcome outcome_of(const std::exception_ptr& thrown);

/// Prints the message where it belongs. Returns the code.
int report(const outcome& result);

/// Prints the sample and writes the summary. @throws sdp::error
void publish(const options& o, const run_report& r);

/// The program on either communicator; the exit status.
int train_on_threads(int argc, char** argv);
int train_on_mpi(int argc, char** argv);

} // namespace trainer
