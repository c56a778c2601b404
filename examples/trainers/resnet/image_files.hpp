// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Labelled images as they are published: the IDX files of Fashion-MNIST, the binary batches of CIFAR-10.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace trainer {

struct image_shape {
    std::int64_t channels = 3, side = 32;
    [[nodiscard]] std::size_t size() const noexcept { return static_cast<std::size_t>(channels * side * side); }
};

struct image_set {
    image_shape shape;
    std::vector<std::uint8_t> pixels; ///< image by image, channel by channel, row by row
    std::vector<std::uint8_t> labels; ///< of ten classes

    [[nodiscard]] std::size_t size() const noexcept { return labels.size(); }
    [[nodiscard]] std::span<const std::uint8_t> image(std::size_t i) const
    {
        return std::span(pixels).subspan(i * shape.size(), shape.size());
    }
};

struct image_data {
    image_set training, held_out;
};

/// Determines the kind of a folder's images from the names of its files alone.
/// @throws sdp::error if there are none, or both kinds
[[nodiscard]] image_shape shape_of(const std::string& folder);

/// {train,t10k}-{images-idx3,labels-idx1}-ubyte.gz, or data_batch_{1..5}.bin and test_batch.bin; the last are held out.
/// @throws sdp::error if a file is missing, too short or not what its name says
[[nodiscard]] image_data read_images(const std::string& folder);

} // namespace trainer
