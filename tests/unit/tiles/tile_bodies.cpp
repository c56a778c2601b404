// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief Tiles one by one: where their elements are, and what is done to them, against loops over single elements.

#include <sdp/tiles/tile_bodies.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <utility>
#include <vector>

using namespace sdp::tiles;

namespace {

/// Some rows of runs in a tensor, as a list of elements in packed order.
struct rows_of_runs {
    std::vector<listed_run> runs;
    std::vector<std::uint64_t> lengths;
    row_shape shape;
    std::uint64_t per_row = 0, start = 0;
    std::uint32_t rows = 1;

    [[nodiscard]] std::vector<std::uint64_t> elements() const
    {
        std::vector<std::uint64_t> out;
        for (std::uint32_t row = 0; row < rows; ++row)
            for (std::size_t r = 0; r < runs.size(); ++r)
                for (std::uint64_t i = 0; i < lengths[r]; ++i)
                    out.push_back(start + std::uint64_t {row} * shape.row_step + runs[r].offset + i);
        return out;
    }
};

/// With `alike`, runs of one length at one distance; all offsets and lengths are multiples of `unit`.
rows_of_runs random_rows(std::mt19937_64& random, bool alike, std::uint64_t unit)
{
    const auto below = [&](std::uint64_t n) { return random() % n; };
    rows_of_runs out;
    const std::size_t count = 1 + below(7);
    const std::uint64_t length = unit * (1 + below(40)), gap = unit * below(50);
    std::uint64_t at = alike ? 0 : unit * below(9);
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint64_t n = alike ? length : unit * (1 + below(40));
        out.runs.push_back({at, out.per_row});
        out.lengths.push_back(n);
        out.per_row += n;
        at += n + (alike ? gap : unit * below(50));
    }
    out.rows = static_cast<std::uint32_t>(1 + below(6));
    out.start = unit * below(20);
    out.shape.row_step = static_cast<std::uint32_t>(at + unit * below(30));
    out.shape.per_row = divider(static_cast<std::uint32_t>(out.per_row));
    if (alike) {
        out.shape.length = divider(static_cast<std::uint32_t>(length));
        out.shape.gap = static_cast<std::uint32_t>(gap);
    } else {
        out.shape.runs = static_cast<std::uint32_t>(count);
    }
    return out;
}

/// A tile from the `first`-th element on.
work_tile tile_from(const rows_of_runs& rows, std::uint64_t first, std::uint32_t count)
{
    work_tile t;
    t.start = rows.start + first / rows.per_row * rows.shape.row_step;
    t.within = static_cast<std::uint32_t>(first % rows.per_row);
    t.count = count;
    return t;
}

template <class T> T from_double(double x)
{
    return convert<T>(static_cast<typename sum_of<T>::type>(x));
}
template <class T> bool same_bits(const T& a, const T& b)
{
    return std::memcmp(&a, &b, sizeof(T)) == 0;
}

} // namespace

TEST_CASE("a divider divides all that it may be asked for")
{
    std::mt19937_64 random(1);
    constexpr std::uint32_t top = std::numeric_limits<std::int32_t>::max();
    for (int i = 0; i < 20'000; ++i) {
        const auto d = i < 300 ? static_cast<std::uint32_t>(i + 1)
            : i < 340          ? (std::uint32_t {1} << (i % 31)) + static_cast<std::uint32_t>(i % 3) - (i % 31 > 1 ? 1U : 0U)
                               : static_cast<std::uint32_t>(1 + random() % top);
        const divider by(d);
        for (const std::uint64_t x : {std::uint64_t {0}, std::uint64_t {1}, std::uint64_t {d} - 1, std::uint64_t {d},
                 std::uint64_t {d} + 1, std::uint64_t {2} * d - 1, std::uint64_t {2} * d, std::uint64_t {top}, random() % top,
                 (random() % 1000) * d, (random() % 1000) * d + d - 1})
            if (x <= top)
                REQUIRE(by(static_cast<std::uint32_t>(x)) == x / d);
    }
}

TEST_CASE("a tile's elements are where the runs say")
{
    std::mt19937_64 random(2);
    for (int round = 0; round < 400; ++round) {
        const auto rows = random_rows(random, round % 2 == 0, 1);
        const auto elements = rows.elements();
        tile_job job;
        job.shapes = &rows.shape;
        job.runs = rows.runs.data();
        const std::uint64_t first = random() % elements.size();
        const auto t = tile_from(rows, first, static_cast<std::uint32_t>(elements.size() - first));
        for (std::uint32_t i = 0; i < t.count; ++i)
            REQUIRE(tile_rows(job, t)(i) == elements[first + i]);
    }
}

TEST_CASE_TEMPLATE("packing and unpacking move each element once, at any width and by any number of threads", T, float, double,
    bf16_bits, f16_bits)
{
    std::mt19937_64 random(3);
    for (int round = 0; round < 300; ++round) {
        const std::uint16_t width = static_cast<std::uint16_t>(1U << (random() % (sizeof(T) == 8 ? 2 : sizeof(T) == 4 ? 3 : 4)));
        const auto rows = random_rows(random, round % 2 == 0, width);
        const auto elements = rows.elements();
        std::vector<T> tensor(elements.back() + 1), untouched;
        for (auto& x : tensor)
            x = from_double<T>(static_cast<double>(random() % 2000) / 8 - 100);
        std::vector<T> buffer(elements.size() + 32, from_double<T>(-1));
        tile_job job;
        job.shapes = &rows.shape;
        job.runs = rows.runs.data();
        job.buffer = reinterpret_cast<std::byte*>(buffer.data());
        job.tensors[3] = tensor.data();
        job.alignment = 1U << (round % 5);
        auto t = tile_from(rows, 0, static_cast<std::uint32_t>(elements.size()));
        t.width = width;
        t.tensor = 3;
        t.packed = 16;
        const auto threads = static_cast<std::uint32_t>(1 + random() % 40);
        for (std::uint32_t thread = 0; thread < threads; ++thread)
            pack_body<T, T> {}(job, t, thread, threads);
        bool right = true;
        for (std::size_t i = 0; i < buffer.size(); ++i)
            right = right
                && same_bits(buffer[i], i < 16 || i >= 16 + elements.size() ? from_double<T>(-1) : tensor[elements[i - 16]]);
        REQUIRE(right);

        auto expected = tensor;
        for (std::size_t i = 0; i < elements.size(); ++i)
            expected[elements[i]] = buffer[16 + i] = from_double<T>(static_cast<double>(i % 100));
        for (std::uint32_t thread = 0; thread < threads; ++thread)
            unpack_body<T, T> {}(job, t, thread, threads);
        REQUIRE(std::equal(tensor.begin(), tensor.end(), expected.begin(), same_bits<T>));
    }
}

TEST_CASE_TEMPLATE("a sum runs in rank order, is divided once and rounded once", T, float, double, bf16_bits, f16_bits)
{
    using S = typename sum_of<T>::type;
    std::mt19937_64 random(4);
    for (int round = 0; round < 200; ++round) {
        const auto rows = random_rows(random, round % 2 == 0, 1);
        const auto elements = rows.elements();
        const std::size_t k = 1 + random() % 9, own = random() % k;
        const bool weighted = round % 3 == 0;
        std::vector<T> tensor(elements.back() + 1);
        for (auto& x : tensor)
            x = from_double<T>(std::ldexp(static_cast<double>(random() % 4096), -7) - 13);
        std::vector<std::vector<T>> packed(k, std::vector<T>(elements.size()));
        std::vector<T> buffer(k * elements.size());
        std::vector<sum_side> sides(k);
        std::vector<double> weights(k);
        for (std::size_t s = 0; s < k; ++s) {
            for (std::size_t i = 0; i < elements.size(); ++i)
                packed[s][i]
                    = s == own ? tensor[elements[i]] : from_double<T>(std::ldexp(static_cast<double>(random() % 4096), -7) - 13);
            std::copy(packed[s].begin(), packed[s].end(), buffer.begin() + static_cast<std::ptrdiff_t>(s * elements.size()));
            sides[s].rank = static_cast<std::uint32_t>(s);
            sides[s].at = s == own ? sum_side::own_tensor : s * elements.size() * sizeof(T);
            sides[s].written = s == own || random() % 2 == 0;
            weights[s] = random() % 4 == 0 ? 0 : 0.25 * static_cast<double>(random() % 9);
        }
        const sum_group group {0, static_cast<std::uint32_t>(k), 0};
        double total = 0;
        for (const double w : weights)
            total += w;
        const class_scale scale {weighted ? total : static_cast<double>(k), 1};
        tile_job job;
        job.shapes = &rows.shape;
        job.runs = rows.runs.data();
        job.groups = &group;
        job.sides = sides.data();
        job.scales = &scale;
        job.weights = weighted ? weights.data() : nullptr;
        job.buffer = reinterpret_cast<std::byte*>(buffer.data());
        job.tensors[0] = tensor.data();
        const auto t = tile_from(rows, 0, static_cast<std::uint32_t>(elements.size()));

        auto expected = tensor;
        auto expected_buffer = buffer;
        for (std::size_t i = 0; i < elements.size(); ++i) {
            S sum = 0;
            bool any = false;
            for (std::size_t s = 0; s < k; ++s) {
                const auto x = convert<S>(packed[s][i]);
                if (weighted && weights[s] == 0)
                    continue;
                const S term = weighted ? static_cast<S>(weights[s]) * x : x;
                sum = any ? sum + term : term;
                any = true;
            }
            const T mean = convert<T>(any ? sum / static_cast<S>(scale.divisor) : S(0));
            for (std::size_t s = 0; s < k; ++s)
                if (s == own)
                    expected[elements[i]] = mean;
                else if (sides[s].written)
                    expected_buffer[s * elements.size() + i] = mean;
        }
        const auto threads = static_cast<std::uint32_t>(1 + random() % 40);
        for (std::uint32_t thread = 0; thread < threads; ++thread)
            reduce_body<T, T> {}(job, t, thread, threads);
        REQUIRE(std::equal(tensor.begin(), tensor.end(), expected.begin(), same_bits<T>));
        REQUIRE(std::equal(buffer.begin(), buffer.end(), expected_buffer.begin(), same_bits<T>));
    }
}

TEST_CASE_TEMPLATE(
    "a sum in tensors of different layouts has the bits of one over packed elements", T, float, double, bf16_bits, f16_bits)
{
    std::mt19937_64 random(5);
    for (int round = 0; round < 200; ++round) {
        const std::uint16_t width = static_cast<std::uint16_t>(1U << (random() % (sizeof(T) == 8 ? 2 : sizeof(T) == 4 ? 3 : 4)));
        const std::size_t k = 2 + random() % 7;
        std::vector<row_shape> shapes;
        std::vector<listed_run> runs;
        std::vector<std::vector<std::uint64_t>> elements;
        std::vector<tensor_side> sides(k);
        std::uint64_t count = std::numeric_limits<std::uint64_t>::max();
        for (std::size_t s = 0; s < k; ++s) {
            const auto rows = random_rows(random, random() % 2 == 0, width);
            const auto all = rows.elements();
            const std::uint64_t first = random() % (all.size() / width) * width;
            elements.emplace_back(all.begin() + static_cast<std::ptrdiff_t>(first), all.end());
            count = std::min(count, elements.back().size());
            auto& shape = shapes.emplace_back(rows.shape);
            shape.first_run = static_cast<std::uint32_t>(runs.size());
            runs.insert(runs.end(), rows.runs.begin(), rows.runs.end());
            const auto where = tile_from(rows, first, 0);
            sides[s].start = where.start;
            sides[s].within = where.within;
            sides[s].shape = static_cast<std::uint32_t>(s);
            sides[s].place = static_cast<std::uint32_t>(k - 1 - s);
            sides[s].rank = static_cast<std::uint32_t>(s);
            sides[s].written = random() % 3 != 0;
        }
        std::vector<std::vector<T>> tensors(k);
        std::vector<void*> places(k);
        std::vector<double> weights(k);
        for (std::size_t s = 0; s < k; ++s) {
            for (std::uint64_t i = 0; i <= elements[s].back(); ++i)
                tensors[s].push_back(from_double<T>(std::ldexp(static_cast<double>(random() % 4096), -7) - 13));
            places[sides[s].place] = tensors[s].data();
            weights[s] = random() % 4 == 0 ? 0 : 0.25 * static_cast<double>(random() % 9);
        }
        const sum_group group {0, static_cast<std::uint32_t>(k), 0};
        const class_scale scale {static_cast<double>(k), 1};
        tile_job job;
        job.shapes = shapes.data();
        job.runs = runs.data();
        job.groups = &group;
        job.tensor_sides = sides.data();
        job.places = places.data();
        job.scales = &scale;
        job.weights = round % 3 == 0 ? weights.data() : nullptr;
        job.alignment = 1U << (round % 5);

        // The same from a buffer.
        std::vector<T> buffer(k * count), own(1);
        std::vector<sum_side> packed(k);
        for (std::size_t s = 0; s < k; ++s) {
            for (std::uint64_t i = 0; i < count; ++i)
                buffer[s * count + i] = tensors[s][elements[s][i]];
            packed[s].at = s * count * sizeof(T);
            packed[s].rank = static_cast<std::uint32_t>(s);
            packed[s].written = sides[s].written;
        }
        auto there = job;
        row_shape plain;
        plain.per_row = plain.length = divider(std::numeric_limits<std::int32_t>::max());
        there.shapes = &plain;
        there.sides = packed.data();
        there.buffer = reinterpret_cast<std::byte*>(buffer.data());
        there.tensors[0] = own.data();
        work_tile all;
        all.count = static_cast<std::uint32_t>(count);
        reduce_body<T, T> {}(there, all, 0, 1);
        auto expected = tensors;
        for (std::size_t s = 0; s < k; ++s)
            for (std::uint64_t i = 0; i < count; ++i)
                expected[s][elements[s][i]] = buffer[s * count + i];

        // In two tiles.
        const auto threads = static_cast<std::uint32_t>(1 + random() % 40);
        const auto half = static_cast<std::uint32_t>(count / 2 / width * width);
        for (const auto& [first, size] : {std::pair(0U, half), std::pair(half, all.count - half)}) {
            work_tile t;
            t.packed = first;
            t.count = size;
            t.width = width;
            for (std::uint32_t thread = 0; thread < threads; ++thread)
                tensor_sum_body<T, T> {}(job, t, thread, threads);
        }
        for (std::size_t s = 0; s < k; ++s)
            REQUIRE(std::equal(tensors[s].begin(), tensors[s].end(), expected[s].begin(), same_bits<T>));
    }
}

TEST_CASE("a NaN of a worker that counts for nothing is not seen, and of any other it is")
{
    row_shape shape;
    shape.per_row = shape.length = divider(16);
    std::vector<float> tensor(16, 1), buffer(16, std::numeric_limits<float>::quiet_NaN());
    const sum_side sides[] {{sum_side::own_tensor, 0, true}, {0, 1, false}};
    const sum_group group {0, 2, 0};
    const class_scale scale {2, 1};
    tile_job job;
    job.shapes = &shape;
    job.groups = &group;
    job.sides = sides;
    job.scales = &scale;
    job.buffer = reinterpret_cast<std::byte*>(buffer.data());
    job.tensors[0] = tensor.data();
    work_tile t;
    t.count = 16;
    const double none[] {2, 0};
    job.weights = none;
    reduce_body<float, float> {}(job, t, 0, 1);
    CHECK(tensor == std::vector<float>(16, 1));
    job.weights = nullptr;
    reduce_body<float, float> {}(job, t, 0, 1);
    CHECK(std::ranges::all_of(tensor, [](float x) { return std::isnan(x); }));
}
