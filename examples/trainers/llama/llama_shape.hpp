// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The sizes of a LLaMA.

#include <cstdint>
#include <map>
#include <string>

namespace trainer {

struct llama_shape {
    std::int64_t vocabulary = 256; ///< bytes
    std::int64_t layers = 4;
    std::int64_t hidden = 128; ///< width of the residual stream
    std::int64_t heads = 4;
    std::int64_t kv_heads = 4; ///< fewer than `heads`: grouped-query attention
    std::int64_t head_dim = 32;
    std::int64_t ffn = 344; ///< inner width of the feed-forward branch
    std::int64_t sequence = 128;
};

/// Shapes by the names that they are known under. The vocabulary of the larger ones is that of a tokenizer; on bytes most of
/// its rows never occur, but cost what they cost.
[[nodiscard]] inline const std::map<std::string, llama_shape>& known_shapes()
{
    static const std::map<std::string, llama_shape> out {
        {"small", {}},
        {"60M", {32000, 8, 512, 8, 8, 64, 1376, 256}},
        {"130M", {32000, 12, 768, 12, 12, 64, 2048, 256}},
        {"500M", {32000, 20, 1280, 20, 20, 64, 3456, 256}},
        {"1.3B", {32000, 24, 2048, 32, 32, 64, 5461, 256}},
    };
    return out;
}

} // namespace trainer
