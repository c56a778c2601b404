// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "images.hpp"
#include "common/model/streams.hpp"
#include "common/settings/sentence.hpp"

#include <sdp/error.hpp>
#include <sdp/random.hpp>

#include <ATen/ATen.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

namespace trainer {

namespace {
    /// Changes to an image: shift and reflection.
    struct change {
        std::int64_t down = 0, right = 0;
        bool mirrored = false;
    };

    batch empty_batch(image_shape shape, std::int64_t count)
    {
        return {at::empty({count, shape.channels, shape.side, shape.side}), at::empty({count}, at::kLong)};
    }

    void copy(std::span<const std::uint8_t> from, image_shape shape, std::span<const std::array<float, 256>> values,
        const change& c, float* to)
    {
        const auto side = shape.side;
        for (std::int64_t channel = 0; channel < shape.channels; ++channel) {
            const auto& value = values[static_cast<std::size_t>(channel)];
            const std::uint8_t* const plane = from.data() + channel * side * side;
            for (std::int64_t y = 0; y < side; ++y)
                for (std::int64_t x = 0; x < side; ++x, ++to) {
                    const auto row = y - c.down, column = (c.mirrored ? side - 1 - x : x) - c.right;
                    const bool inside = row >= 0 && row < side && column >= 0 && column < side;
                    *to = value[inside ? plane[row * side + column] : 0];
                }
        }
    }
} // namespace

image_collection::image_collection(image_data data)
    : data_(std::move(data))
{
    const auto& set = data_.training;
    const auto plane = static_cast<std::size_t>(set.shape.side * set.shape.side);
    for (std::size_t channel = 0; channel < static_cast<std::size_t>(set.shape.channels); ++channel) {
        std::array<std::uint64_t, 256> counts {};
        for (std::size_t i = 0; i < set.size(); ++i)
            for (const auto pixel : set.image(i).subspan(channel * plane, plane))
                ++counts[pixel];
        double sum = 0, squares = 0;
        for (std::size_t v = 0; v < 256; ++v) {
            sum += static_cast<double>(counts[v] * v);
            squares += static_cast<double>(counts[v] * v * v);
        }
        const auto all = static_cast<double>(std::max<std::size_t>(1, set.size() * plane));
        const double mean = sum / all, variance = squares / all - mean * mean;
        const double deviation = variance > 0 ? std::sqrt(variance) : 1; // where all pixels are the same
        values_.emplace_back();
        for (std::size_t v = 0; v < 256; ++v)
            values_.back()[v] = static_cast<float>((static_cast<double>(v) - mean) / deviation);
    }
}

std::uint64_t shuffled(std::uint64_t place, std::uint64_t count, std::uint64_t seed, std::uint64_t stream, std::uint64_t round)
{
    // A Feistel network permutes the numbers of an even number of bits. What it sends beyond the count goes through again.
    const sdp::counter_generator random(seed, stream);
    const int half = std::max(1, (static_cast<int>(std::bit_width(count - 1)) + 1) / 2);
    const std::uint64_t low = (std::uint64_t {1} << half) - 1;
    do {
        auto a = place >> half, b = place & low;
        for (std::uint64_t pass = 0; pass < 4; ++pass)
            a = std::exchange(b, a ^ (random.bits((round * 4 + pass) << 24 | b) & low));
        place = a << half | b;
    } while (place >= count);
    return place;
}

image_shard::image_shard(const image_collection& images, int rank, int world, std::int64_t batch, std::uint64_t seed)
    : images_(images)
    , rank_(static_cast<std::uint64_t>(rank))
    , world_(static_cast<std::uint64_t>(world))
    , size_((images.training().size() + world_ - 1 - rank_) / world_)
    , seed_(seed)
{
    if (size_ < static_cast<std::uint64_t>(batch))
        fail("worker ", rank, " has ", size_, " training images; expected at least a batch of ", batch);
}

batch image_shard::read(std::int64_t count, std::uint64_t batch_number) const
{
    const auto& set = images_.training();
    const sdp::counter_generator random(seed_, streams::augmentation + rank_);
    const auto margin = static_cast<std::uint64_t>(set.shape.side) / 8;
    auto out = empty_batch(set.shape, count);
    for (std::int64_t i = 0; i < count; ++i) {
        const auto place = batch_number * static_cast<std::uint64_t>(count) + static_cast<std::uint64_t>(i);
        const auto image = rank_ + world_ * shuffled(place % size_, size_, seed_, streams::data + rank_, place / size_);
        const auto drawn = random.bits(place);
        const auto moved = [&](int bit) {
            return static_cast<std::int64_t>((drawn >> bit & 0xffff) % (2 * margin + 1)) - static_cast<std::int64_t>(margin);
        };
        copy(set.image(image), set.shape, images_.values(), {moved(0), moved(16), (drawn >> 32 & 1) != 0},
            out.inputs.data_ptr<float>() + static_cast<std::size_t>(i) * set.shape.size());
        out.targets.data_ptr<std::int64_t>()[i] = set.labels[image];
    }
    return out;
}

image_noise::image_noise(image_shape shape, int rank, std::uint64_t seed)
    : shape_(shape)
    , seed_(seed)
    , stream_(streams::data + static_cast<std::uint64_t>(rank))
{
}

batch image_noise::read(std::int64_t count, std::uint64_t batch_number) const
{
    const sdp::counter_generator random(seed_, stream_);
    auto out = empty_batch(shape_, count);
    const auto pixels = static_cast<std::uint64_t>(out.inputs.numel()), images = static_cast<std::uint64_t>(count);
    const auto first = batch_number * (pixels + images);
    for (std::uint64_t i = 0; i < pixels; ++i)
        out.inputs.data_ptr<float>()[i] = static_cast<float>(2 * random.uniform(first + i) - 1);
    for (std::uint64_t i = 0; i < images; ++i)
        out.targets.data_ptr<std::int64_t>()[i] = static_cast<std::int64_t>(random.bits(first + pixels + i) % 10);
    return out;
}

std::vector<batch> held_out_batches(const image_collection& images, std::int64_t batches, std::int64_t count)
{
    const auto& set = images.held_out();
    const auto wanted = static_cast<std::size_t>(batches * count);
    if (set.size() < wanted)
        fail("there are ", set.size(), " held-out images; expected ", wanted, " for ", batches, " batches of ", count);
    std::vector<batch> out;
    for (std::size_t i = 0; i < wanted; ++i) {
        const auto within = i % static_cast<std::size_t>(count);
        if (within == 0)
            out.push_back(empty_batch(set.shape, count));
        const auto image = i * set.size() / wanted;
        copy(set.image(image), set.shape, images.values(), {}, out.back().inputs.data_ptr<float>() + within * set.shape.size());
        out.back().targets.data_ptr<std::int64_t>()[within] = set.labels[image];
    }
    return out;
}

} // namespace trainer
