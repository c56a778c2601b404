// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Options of the command line that apply to every kind of model.

#include <sdp/error.hpp>

#include <cstdint>
#include <stdexcept>
#include <string>

namespace CLI {
class App;
}

namespace trainer {

enum class backend { threads, mpi, nccl };
enum class partition_kind { none, neuron, block };
enum class masking_kind { forward, backward };
/// Rescaling for absent branches and neurons under forward masking: none, a division of the outputs by the coverage while
/// training, or a multiplication by it when the full model is evaluated.
enum class rescaling { none, train, eval };
enum class normalization { holders, world };
enum class wire { native, bf16, f16 };
enum class optimizer_kind { adamw, sgd };
enum class compute_device { cpu, cuda };
enum class precision { f32, bf16 };
/// A smaller model trained by plain data parallelism, to compare with: the coverage's share of the neurons, or of the
/// blocks, or nothing but what would be pinned.
enum class shrinking { none, neuron, block, pinned };
/// Quantity that a deal of blocks balances between workers: parameters, computation, or nothing.
enum class balancing { parameters, work, none };
/// Blocks that stay pinned in spite of the partition.
enum class pinning { none, first, last, ends };

struct options {
    std::string data; ///< what it names is the program's matter
    int workers = 0; ///< 0: as many as there are MPI ranks, or four threads
    backend comm = backend::threads;
    compute_device device = compute_device::cpu;
    precision compute = precision::f32;
    int threads = 1; ///< of each worker

    partition_kind partition = partition_kind::none;
    masking_kind masking = masking_kind::forward;
    double coverage = 0.5;
    std::int64_t granularity = 1;
    pinning pin = pinning::none;
    balancing balance = balancing::parameters;
    rescaling rescale = rescaling::none;
    normalization normalizer = normalization::holders;
    bool owner_update = false;
    wire wire_format = wire::native;

    bool checkpoint = false;
    double dropout = 0;
    double stochastic_depth = 0;
    shrinking shrink = shrinking::none;

    std::int64_t batch = 8; ///< samples per worker and micro-batch
    int accumulate = 1; ///< micro-batches per step
    int steps = 300;
    int warmup = 20;
    optimizer_kind optimizer = optimizer_kind::adamw;
    double learning_rate = 2e-3;
    double weight_decay = 0.1;
    double momentum = 0.9;
    double clip = 1; ///< the greatest global norm of a gradient; 0: any
    std::uint64_t seed = 1;

    int evaluate_every = 100;
    int evaluation_batches = 8;
    int sample = 0; ///< bytes of text to generate at the end
    int probe_every = 0;
    bool breakdown = false;
    bool overlap = true;
    bool memory_only = false;
    int rank = 0; ///< where this process is one worker: with NCCL, or alone
    std::string rendezvous;
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

class program;

/// Reads the command line: the options here, and those that the program adds.
/// @throws usage_error, help_request
options parse(int argc, char** argv, program& p);

/// Returns true if the command line asks for MPI. Call it before parsing: MPI must be started first, so that only one rank
/// reports errors of the other options.
bool asks_for_mpi(int argc, char** argv);

/// "dense", or for example "block forward C=0.5".
std::string method_name(const options& o);

} // namespace trainer
