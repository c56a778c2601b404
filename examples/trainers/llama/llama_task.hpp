// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The LLaMA and its text, as the training loop sees them.

#include "common/model/task.hpp"
#include "common/settings/options.hpp"
#include "data.hpp"
#include "llama.hpp"

#include <memory>
#include <string>
#include <vector>

namespace trainer {

class llama_task final : public task {
public:
    /// @param data null: bytes drawn evenly stand in for it
    /// @throws sdp::error if the text is too short
    llama_task(const options& o, const llama_shape& shape, std::shared_ptr<const text> data);

    [[nodiscard]] const llama_description& description() const noexcept { return description_; }
    [[nodiscard]] const sdp::model& model() const override { return description_.model; }
    [[nodiscard]] initial_value initial(sdp::parameter_id id) const override { return trainer::initial(description_, id); }
    [[nodiscard]] std::unique_ptr<network> make_network(
        const weights& stored, const weights& statistics, const network_settings& settings) const override;
    [[nodiscard]] std::unique_ptr<data_source> training_data(int rank, int world) const override;

    /// Over the held-out sequences.
    [[nodiscard]] score evaluate(const weights& full, const weights& statistics) const override;
    /// Goes on from a piece of the held-out text, byte by byte; the result begins with that piece.
    [[nodiscard]] std::string sample(const weights& full) const override;

    [[nodiscard]] std::string item() const override { return "tokens"; }
    [[nodiscard]] std::int64_t items_per_sample() const override { return description_.shape.sequence; }
    /// Heads are few and wide, so only hidden neurons are taken together by granularity.
    [[nodiscard]] std::string narrow_groups() const override { return "*.hidden"; }
    [[nodiscard]] std::string wide_groups() const override { return "*.heads"; }

private:
    options options_;
    llama_description description_;
    std::shared_ptr<const text> text_;
    std::vector<batch> held_out_;
    std::vector<std::uint8_t> prompt_;
};

} // namespace trainer
