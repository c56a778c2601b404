// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The trainer's program for a ResNet on small images.

#include "common/model/program.hpp"
#include "resnet_task.hpp"

namespace trainer {

class resnet_program final : public program {
public:
    [[nodiscard]] std::string name() const override { return "train_resnet"; }
    [[nodiscard]] std::string purpose() const override
    {
        return "Trains a ResNet on small images with Subnetwork Data Parallelism, or with plain data parallelism.";
    }
    void add_options(CLI::App& app, options& o) override;
    [[nodiscard]] std::shared_ptr<const task> load(const options& o) override;

private:
    std::int64_t width_ = 64;
    std::string blocks_ = "2,2,2,2";
    normalization_by norms_ = normalization_by::batch;
};

} // namespace trainer
