// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Selects the images that a worker trains on at a step, their changes, and the held-out set.

#include "common/model/task.hpp"
#include "image_files.hpp"

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace trainer {

/// Images that a model is trained on and evaluated with, and the numbers that their pixels stand for: each channel has mean
/// 0 and deviation 1 over the training set.
class image_collection {
public:
    explicit image_collection(image_data data);

    [[nodiscard]] const image_set& training() const noexcept { return data_.training; }
    [[nodiscard]] const image_set& held_out() const noexcept { return data_.held_out; }
    /// By the value of a pixel, for each channel.
    [[nodiscard]] std::span<const std::array<float, 256>> values() const noexcept { return values_; }

private:
    image_data data_;
    std::vector<std::array<float, 256>> values_;
};

/// One worker's part of the training set: images rank, rank + world, and so on. A batch has images [images, channels, side,
/// side], f32, and their classes, int64.
class image_shard final : public data_source {
public:
    /// @throws sdp::error if the part is smaller than a batch of so many images
    image_shard(const image_collection& images, int rank, int world, std::int64_t batch, std::uint64_t seed);

    /// Each image once before any comes again, in an order of its own each time. An image is moved by up to an eighth of its
    /// side, with black where nothing is, and mirrored every other time.
    [[nodiscard]] batch read(std::int64_t count, std::uint64_t batch_number) const override;

private:
    const image_collection& images_;
    std::uint64_t rank_, world_, size_, seed_;
};

/// Numbers drawn evenly: what costs as much as images and teaches nothing.
class image_noise final : public data_source {
public:
    image_noise(image_shape shape, int rank, std::uint64_t seed);
    [[nodiscard]] batch read(std::int64_t count, std::uint64_t batch_number) const override;

private:
    image_shape shape_;
    std::uint64_t seed_, stream_;
};

/// Held-out images at equal distances, as they are: the same ones at every evaluation of every run.
/// @throws sdp::error if there are not so many
[[nodiscard]] std::vector<batch> held_out_batches(const image_collection& images, std::int64_t batches, std::int64_t count);

/// The place-th of `count` numbers from 0, shuffled: a permutation that needs no table.
[[nodiscard]] std::uint64_t shuffled(
    std::uint64_t place, std::uint64_t count, std::uint64_t seed, std::uint64_t stream, std::uint64_t round);

} // namespace trainer
