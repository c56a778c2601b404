// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The text: what is trained on, what is held out, and which bytes a worker reads at a step.

#include "common/model/task.hpp"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace trainer {

/// A file of raw bytes. Its last twentieth is held out.
class text {
public:
    /// @throws sdp::error if the file cannot be read
    explicit text(const std::string& path);

    [[nodiscard]] std::span<const std::uint8_t> training() const noexcept { return std::span(bytes_).first(held_out_at_); }
    [[nodiscard]] std::span<const std::uint8_t> held_out() const noexcept { return std::span(bytes_).subspan(held_out_at_); }

private:
    std::vector<std::uint8_t> bytes_;
    std::size_t held_out_at_ = 0;
};

/// One worker's part of the training text: the rank-th of `world` equal stretches. A batch has sequences and, for each byte,
/// the one that follows, both [sequences, length], int64.
class shard final : public data_source {
public:
    /// @throws sdp::error if the stretch is shorter than a sequence and the byte after it
    shard(const text&, int rank, int world, std::int64_t sequence, std::uint64_t seed);

    /// Sequences that start at random places. The same arguments give the same batch, whatever was read before.
    [[nodiscard]] batch read(std::int64_t sequences, std::uint64_t batch_number) const override;

private:
    std::span<const std::uint8_t> bytes_;
    std::int64_t sequence_;
    std::uint64_t seed_, stream_;
};

/// Bytes drawn evenly: what costs as much as a text and teaches nothing.
class noise final : public data_source {
public:
    noise(std::int64_t sequence, int rank, std::uint64_t seed);
    [[nodiscard]] batch read(std::int64_t sequences, std::uint64_t batch_number) const override;

private:
    std::int64_t sequence_;
    std::uint64_t seed_, stream_;
};

/// Held-out sequences at equal distances: the same ones at every evaluation of every run.
/// @throws sdp::error if the held-out text is shorter than a sequence and the byte after it
std::vector<batch> held_out_batches(const text&, std::int64_t batches, std::int64_t sequences, std::int64_t sequence);

/// Bytes as a batch of one sequence, to go on from.
at::Tensor tokens_of(std::span<const std::uint8_t> bytes);

} // namespace trainer
