// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief A trainer for one kind of model, as `run` sees it.

#include "common/model/task.hpp"
#include "common/settings/options.hpp"

#include <memory>
#include <string>

namespace trainer {

class program {
public:
    virtual ~program() = default;
    [[nodiscard]] virtual std::string name() const = 0;
    [[nodiscard]] virtual std::string purpose() const = 0;
    /// Adds the options of this kind of model. What it assigns to `o` is the default.
    virtual void add_options(CLI::App& app, options& o) = 0;
    /// The model and the data. With `memory_only`, data is made up.
    /// @throws usage_error, sdp::error
    [[nodiscard]] virtual std::shared_ptr<const task> load(const options& o) = 0;
};

/// The whole program; its exit status.
int run(int argc, char** argv, program& p);

} // namespace trainer
