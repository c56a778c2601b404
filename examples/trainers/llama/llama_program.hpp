// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The trainer's program for a byte-level LLaMA.

#include "common/model/program.hpp"
#include "llama_shape.hpp"

namespace trainer {

class llama_program final : public program {
public:
    [[nodiscard]] std::string name() const override { return "train_llama"; }
    [[nodiscard]] std::string purpose() const override
    {
        return "Trains a byte-level LLaMA with Subnetwork Data Parallelism, or with plain data parallelism.";
    }
    void add_options(CLI::App& app, options& o) override;
    [[nodiscard]] std::shared_ptr<const task> load(const options& o) override;

private:
    std::string model_ = "small";
    llama_shape given_ {0, 0, 0, 0, 0, 0, 0, 0}; ///< what the command line says; 0: as the model has it
};

} // namespace trainer
