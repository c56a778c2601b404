// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "data.hpp"
#include "common/model/streams.hpp"
#include "common/settings/sentence.hpp"

#include <sdp/error.hpp>
#include <sdp/random.hpp>

#include <ATen/ATen.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <system_error>

namespace trainer {

namespace {
    void copy_bytes(std::span<const std::uint8_t> from, std::int64_t* to)
    {
        std::copy(from.begin(), from.end(), to);
    }

    batch gather(std::span<const std::uint8_t> bytes, std::span<const std::size_t> starts, std::int64_t sequence)
    {
        const auto length = static_cast<std::size_t>(sequence);
        const auto rows = static_cast<std::int64_t>(starts.size());
        batch out {at::empty({rows, sequence}, at::kLong), at::empty({rows, sequence}, at::kLong)};
        auto* input = out.inputs.data_ptr<std::int64_t>();
        auto* target = out.targets.data_ptr<std::int64_t>();
        for (const auto start : starts) {
            copy_bytes(bytes.subspan(start, length), input);
            copy_bytes(bytes.subspan(start + 1, length), target);
            input += length;
            target += length;
        }
        return out;
    }
} // namespace

text::text(const std::string& path)
{
    std::error_code status;
    const auto size = std::filesystem::file_size(path, status); // fails for what has no size, such as a directory
    if (status)
        fail("cannot read '", path, "': ", status.message());
    bytes_.resize(size);
    std::ifstream file(path, std::ios::binary);
    if (!file.read(reinterpret_cast<char*>(bytes_.data()), static_cast<std::streamsize>(size)))
        fail("cannot read '", path, "'");
    held_out_at_ = bytes_.size() - bytes_.size() / 20;
}

shard::shard(const text& whole, int rank, int world, std::int64_t sequence, std::uint64_t seed)
    : sequence_(sequence)
    , seed_(seed)
    , stream_(streams::data + static_cast<std::uint64_t>(rank))
{
    const auto all = whole.training();
    const auto size = all.size() / static_cast<std::size_t>(world);
    bytes_ = all.subspan(size * static_cast<std::size_t>(rank), size);
    if (size < static_cast<std::size_t>(sequence) + 1)
        fail("worker ", rank, " has ", size, " bytes of training text; a sequence of ", sequence, " needs ", sequence + 1);
}

batch shard::read(std::int64_t sequences, std::uint64_t batch_number) const
{
    const sdp::counter_generator random(seed_, stream_);
    const auto places = bytes_.size() - static_cast<std::size_t>(sequence_);
    std::vector<std::size_t> starts;
    for (std::int64_t i = 0; i < sequences; ++i)
        starts.push_back(
            random.bits(batch_number * static_cast<std::uint64_t>(sequences) + static_cast<std::uint64_t>(i)) % places);
    return gather(bytes_, starts, sequence_);
}

noise::noise(std::int64_t sequence, int rank, std::uint64_t seed)
    : sequence_(sequence)
    , seed_(seed)
    , stream_(streams::data + static_cast<std::uint64_t>(rank))
{
}

batch noise::read(std::int64_t sequences, std::uint64_t batch_number) const
{
    const sdp::counter_generator random(seed_, stream_);
    auto drawn = at::empty({sequences, sequence_ + 1}, at::kLong);
    const auto count = static_cast<std::uint64_t>(drawn.numel());
    for (std::uint64_t i = 0; i < count; ++i)
        drawn.data_ptr<std::int64_t>()[i] = static_cast<std::int64_t>(random.bits(batch_number * count + i) % 256);
    return {drawn.narrow(1, 0, sequence_).contiguous(), drawn.narrow(1, 1, sequence_).contiguous()};
}

std::vector<batch> held_out_batches(const text& whole, std::int64_t batches, std::int64_t sequences, std::int64_t sequence)
{
    const auto bytes = whole.held_out();
    if (bytes.size() < static_cast<std::size_t>(sequence) + 1)
        fail("the held-out text has ", bytes.size(), " bytes; a sequence of ", sequence, " needs ", sequence + 1);
    const auto places = bytes.size() - static_cast<std::size_t>(sequence);
    const auto count = static_cast<std::size_t>(batches * sequences);
    std::vector<batch> out;
    std::vector<std::size_t> starts;
    for (std::size_t i = 0; i < count; ++i) {
        starts.push_back(i * places / count);
        if (starts.size() == static_cast<std::size_t>(sequences)) {
            out.push_back(gather(bytes, starts, sequence));
            starts.clear();
        }
    }
    return out;
}

at::Tensor tokens_of(std::span<const std::uint8_t> bytes)
{
    auto out = at::empty({1, static_cast<std::int64_t>(bytes.size())}, at::kLong);
    copy_bytes(bytes, out.data_ptr<std::int64_t>());
    return out;
}

} // namespace trainer
