// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief What the command line says.

#include "shape.hpp"

#include <sdp/error.hpp>

#include <cstdint>
#include <stdexcept>
#include <string>

namespace trainer {

enum class backend { threads, mpi };
enum class partition_kind { none, neuron, block };
enum class masking_kind { forward, backward };
/// What makes up for absent branches and neurons under forward masking: nothing, dividing their outputs by the coverage
/// while training, or multiplying them by it when the full model is evaluated.
enum class rescaling { none, train, eval };
enum class normalization { holders, world };

struct options {
    std::string data;
    int workers = 0; ///< 0: as many as there are MPI ranks, or four threads
    backend comm = backend::threads;
    partition_kind partition = partition_kind::none;
    masking_kind masking = masking_kind::forward;
    double coverage = 0.5;
    std::int64_t granularity = 1;
    llama_shape shape;
    std::int64_t batch = 8; ///< sequences per worker and micro-batch
    int accumulate = 1; ///< micro-batches per step
    int steps = 300;
    int warmup = 20;
    double learning_rate = 2e-3;
    std::uint64_t seed = 1;
    rescaling rescale = rescaling::none;
    normalization normalizer = normalization::holders;
    bool owner_update = false;
    int evaluate_every = 100;
    int evaluation_batches = 8;
    int sample = 0; ///< bytes of text to generate at the end
    std::string trace;
    std::string summary;
};

/// Options that cannot work. The program ends with code 2, as for a flag that does not exist.
class usage_error : public sdp::error {
public:
    using sdp::error::error;
};

/// Not an error, but nothing to go on with either: `what()` is the help text.
class help_request : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// Reads the command line.
/// @throws usage_error, help_request
options parse(int argc, char** argv);

/// Whether the command line asks for MPI. Needed before it is parsed: MPI is to be started first, so that only one rank
/// reports what is wrong with the rest.
bool asks_for_mpi(int argc, char** argv);

/// "dense", or for example "block forward C=0.5".
std::string method_name(const options& o);

} // namespace trainer
