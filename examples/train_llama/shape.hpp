// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The sizes of a LLaMA.

#include <cstdint>

namespace trainer {

struct llama_shape {
    std::int64_t vocabulary = 256; ///< bytes
    std::int64_t layers = 4;
    std::int64_t hidden = 128; ///< width of the residual stream
    std::int64_t heads = 4;
    std::int64_t kv_heads = 4; ///< fewer than `heads`: grouped-query attention
    std::int64_t ffn = 344; ///< inner width of the feed-forward branch
    std::int64_t sequence = 128;

    [[nodiscard]] std::int64_t head_dim() const noexcept { return hidden / heads; }
};

} // namespace trainer
