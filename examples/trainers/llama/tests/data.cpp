// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "data.hpp"

#include <sdp/error.hpp>

#include <ATen/ATen.h>

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>

namespace {

using namespace trainer;

/// A file that goes when the test ends.
struct temporary_file {
    explicit temporary_file(const std::string& content)
        : path((std::filesystem::temp_directory_path() / ("sdp_text_" + std::to_string(std::hash<std::string> {}(content))))
                   .string())
    {
        std::ofstream(path, std::ios::binary) << content;
    }
    ~temporary_file() { std::filesystem::remove(path); }
    std::string path;
};

} // namespace

TEST_CASE("workers read from their own stretch, targets are the next bytes, and the last twentieth is held out")
{
    std::string content;
    for (int i = 0; i < 1000; ++i)
        content += static_cast<char>(i / 10); // the byte tells where it is from
    const temporary_file file(content);
    const text whole(file.path);
    CHECK(whole.training().size() == 950);
    CHECK(whole.held_out().size() == 50);

    for (int rank = 0; rank < 4; ++rank) {
        const shard mine(whole, rank, 4, 16, 7);
        std::int64_t lowest = 1000, highest = -1;
        for (std::uint64_t number = 0; number < 50; ++number) {
            const auto [inputs, targets] = mine.read(3, number);
            CHECK(at::equal(inputs.narrow(1, 1, 15), targets.narrow(1, 0, 15)));
            lowest = std::min(lowest, inputs.min().item<std::int64_t>());
            highest = std::max(highest, targets.max().item<std::int64_t>());
        }
        CHECK(lowest == rank * 237 / 10);
        CHECK(highest == (rank * 237 + 236) / 10);
        CHECK(at::equal(mine.read(3, 5).inputs, shard(whole, rank, 4, 16, 7).read(3, 5).inputs));
        CHECK_FALSE(at::equal(mine.read(3, 5).inputs, mine.read(3, 6).inputs));
        CHECK_FALSE(at::equal(mine.read(3, 5).inputs, shard(whole, rank, 4, 16, 8).read(3, 5).inputs));
    }

    const auto held_out = held_out_batches(whole, 2, 3, 16);
    REQUIRE(held_out.size() == 2);
    CHECK(held_out[0].inputs[0][0].item<std::int64_t>() == 95);
    CHECK(held_out[0].inputs.min().item<std::int64_t>() >= 95);
    CHECK(held_out[1].inputs.sizes() == at::IntArrayRef({3, 16}));

    CHECK_THROWS_WITH_AS(
        shard(whole, 1, 4, 237, 7), "worker 1 has 237 bytes of training text; a sequence of 237 needs 238", sdp::error);
    CHECK_THROWS_WITH_AS(
        held_out_batches(whole, 1, 1, 50), "the held-out text has 50 bytes; a sequence of 50 needs 51", sdp::error);
    CHECK_THROWS_AS(text("/nowhere/at/all"), sdp::error);
}
