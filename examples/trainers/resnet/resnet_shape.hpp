// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The sizes of a ResNet.

#include <cstddef>
#include <cstdint>
#include <vector>

namespace trainer {

/// Blocks of one width. Every stage but the first halves height and width with its first block.
struct resnet_stage {
    std::int64_t channels = 64; ///< of the residual stream
    std::int64_t inner = 64; ///< between the two convolutions of a branch; 0: the blocks are shortcuts alone
    std::int64_t blocks = 2;
};

struct resnet_shape {
    std::int64_t inputs = 3; ///< channels of an image
    std::int64_t side = 32; ///< its height and width
    std::int64_t classes = 10;
    std::vector<resnet_stage> stages; ///< at least one
};

/// The form for small images: a 3×3 stem and no pooling in front; each stage twice as wide as the one before. A width of 64
/// and two blocks in each of four stages are ResNet-18.
[[nodiscard]] inline resnet_shape make_shape(
    std::int64_t width, const std::vector<std::int64_t>& blocks, std::int64_t inputs, std::int64_t side)
{
    resnet_shape out {inputs, side, 10, {}};
    for (std::size_t i = 0; i < blocks.size(); ++i)
        out.stages.push_back({width << i, width << i, blocks[i]});
    return out;
}

} // namespace trainer
