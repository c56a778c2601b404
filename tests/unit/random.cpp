// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "cases.hpp"

#include <sdp/random.hpp>

#include <doctest/doctest.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <set>

TEST_CASE("Philox gives the published answers")
{
    using words = std::array<std::uint32_t, 4>;
    static_assert(sdp::philox4x32({0, 0, 0, 0}, {0, 0}) == words {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
    constexpr std::uint32_t ones = 0xffffffff;
    CHECK(sdp::philox4x32({ones, ones, ones, ones}, {ones, ones}) == words {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
    CHECK(sdp::philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0})
        == words {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("the generator is that function of index, stream and seed")
{
    static_assert(sdp::counter_generator(0, 0).bits(0) == 0xe169c58d6627e8d5);
    const sdp::counter_generator pi(0x299f31d0a4093822, 0x0370734413198a2e);
    CHECK(pi.bits(0x85a308d3243f6a88) == 0x94fdccebd16cfe09);
    CHECK(pi.uniform(0x85a308d3243f6a88) == static_cast<double>(0x94fdccebd16cfe09 >> 11) / 9007199254740992.0);
    const double radius = 1.0 - static_cast<double>(0x94fdccebd16cfe09 >> 11) / 9007199254740992.0;
    const double angle = static_cast<double>(0x24126ea15001e420 >> 11) / 9007199254740992.0;
    CHECK(pi.normal(0x85a308d3243f6a88)
        == doctest::Approx(std::sqrt(-2 * std::log(radius)) * std::cos(2 * 3.14159265358979323846 * angle)).epsilon(1e-12));
}

TEST_CASE("seeds, streams and indices do not repeat each other")
{
    std::set<std::uint64_t> seen;
    for (std::uint64_t seed = 0; seed < 10; ++seed)
        for (std::uint64_t stream = 0; stream < 10; ++stream)
            for (std::uint64_t index = 0; index < 100; ++index)
                seen.insert(sdp::counter_generator(seed, stream).bits(index));
    seen.insert(sdp::counter_generator(0, 0).bits(std::uint64_t {1} << 32)); // the high half counts too
    seen.insert(sdp::counter_generator(0, std::uint64_t {1} << 32).bits(0));
    seen.insert(sdp::counter_generator(std::uint64_t {1} << 32, 0).bits(0));
    CHECK(seen.size() == 10'003);
}

TEST_CASE("uniform and normal numbers have the moments of their distributions")
{
    const sdp::counter_generator g(12, 34);
    constexpr int n = 200'000;
    double least = 1, most = 0, mean = 0, square = 0;
    double normal_mean = 0, normal_square = 0, normal_fourth = 0;
    for (std::uint64_t i = 0; i < n; ++i) {
        const double u = g.uniform(i), x = g.normal(i);
        least = std::min(least, u);
        most = std::max(most, u);
        mean += u / n;
        square += u * u / n;
        normal_mean += x / n;
        normal_square += x * x / n;
        normal_fourth += x * x * x * x / n;
        if (!std::isfinite(x))
            FAIL("not finite at ", i);
    }
    CHECK(least >= 0);
    CHECK(least < 1e-4);
    CHECK(most < 1);
    CHECK(most > 1 - 1e-4);
    CHECK(std::abs(mean - 0.5) < 0.004);
    CHECK(std::abs(square - 1.0 / 3) < 0.004);
    CHECK(std::abs(normal_mean) < 0.012);
    CHECK(std::abs(normal_square - 1) < 0.02);
    CHECK(std::abs(normal_fourth - 3) < 0.15);
}

TEST_CASE("normal initial values have the quantiles of the distribution, and the same bits everywhere")
{
    for (double tail = 0x1p-54; tail < 0.5; tail *= 1.01) {
        const double x = sdp::detail::normal_quantile(tail), found = 0.5 * std::erfc(x / std::sqrt(2.0));
        REQUIRE(std::abs(found - tail) < 2e-15 * (1 + x * x) * tail); // an error of x counts x² times
    }
    CHECK(sdp::detail::normal_quantile(0.5) == 0);

    // These are the bits of GCC 12 and Clang 19, with and without fused multiplication, and of no math library.
    const auto standard = sdp::normal(1, sdp::parameter_id(2), 1);
    CHECK(standard(0) == -0x1.672276675e86ap-3);
    CHECK(standard(1) == -0x1.0d2c71e0a5b8ep+0);
    CHECK(standard(2) == 0x1.eabead9ccaf5bp-1);
    std::uint64_t hash = 0;
    for (sdp::index_t i = 0; i < 1'000'000; ++i)
        hash = hash * 1099511628211U ^ std::bit_cast<std::uint64_t>(standard(i));
    CHECK(hash == 0x141be0d361bbba48);

    const auto small = sdp::normal(1, sdp::parameter_id(2), 0.02);
    CHECK(small(7) == 0.02 * standard(7));
    CHECK(sdp::normal(2, sdp::parameter_id(2), 1)(0) != standard(0));
    CHECK(sdp::normal(1, sdp::parameter_id(3), 1)(0) != standard(0));
    double mean = 0, square = 0, fourth = 0;
    constexpr int n = 200'000;
    for (sdp::index_t i = 0; i < n; ++i) {
        const double x = standard(i);
        mean += x / n;
        square += x * x / n;
        fourth += x * x * x * x / n;
    }
    CHECK(std::abs(mean) < 0.012);
    CHECK(std::abs(square - 1) < 0.02);
    CHECK(std::abs(fourth - 3) < 0.15);
    for (const double wrong : {-0.02, std::nan(""), HUGE_VAL})
        CHECK(unit::flaw([&] { (void)sdp::normal(1, sdp::parameter_id(0), wrong); }, {"standard deviation", "at least 0"}) == "");
}

TEST_CASE("initialised slice by slice, every worker has the bits of the full tensor")
{
    for (std::uint64_t seed = 0; seed < 250; ++seed) {
        const auto s = unit::random_scene(seed);
        CAPTURE(seed);
        for (std::size_t p = 0; p < s.model.parameters().size(); ++p) {
            const auto& shape = s.model.parameters()[p].shape;
            const auto value = sdp::normal(seed, sdp::parameter_id(p), 0.02);
            std::vector<float> full;
            for (sdp::index_t i = 0; i < shape.product(); ++i)
                full.push_back(static_cast<float>(value(i)));
            for (int rank = 0; rank < s.world; ++rank) {
                const sdp::subnetwork mine(
                    s.model, s.residents, rank, seed % 2 == 0 ? sdp::value_layout::split : sdp::value_layout::whole);
                for (const auto& slab : mine.slabs(sdp::parameter_id(p))) {
                    std::vector<float> made(static_cast<std::size_t>(slab.size()), -1.0F), cut(made);
                    sdp::initialize(made, slab, value);
                    sdp::slice(full, cut, slab);
                    REQUIRE(std::memcmp(made.data(), cut.data(), made.size() * sizeof(float)) == 0);
                    // A transposed tensor gets the same elements at its own places.
                    if (slab.shape.size() == 2) {
                        std::vector<double> storage(made.size());
                        const auto rows = slab.shape[0], columns = slab.shape[1];
                        sdp::initialize(
                            sdp::tensor_view {storage.data(), slab.shape, {1, rows}, sdp::element_type::f64}, slab, value);
                        for (sdp::index_t i = 0; i < rows; ++i)
                            for (sdp::index_t j = 0; j < columns; ++j)
                                REQUIRE(static_cast<float>(storage[static_cast<std::size_t>(i + j * rows)])
                                    == made[static_cast<std::size_t>(i * columns + j)]);
                    }
                }
            }
        }
    }
}

TEST_CASE("indices past 2^32 are told apart, without a tensor of that size")
{
    sdp::slab corner;
    corner.full_shape = {70'000, 70'000};
    corner.axes = {{{69'998, 70'000}}, {{0, 1}, {69'999, 70'000}}};
    corner.shape = {2, 2};
    std::vector<double> local(4);
    sdp::initialize(local, corner, [](sdp::index_t i) { return static_cast<double>(i); });
    CHECK(local == std::vector<double> {4'899'860'000, 4'899'929'999, 4'899'930'000, 4'899'999'999});
}

TEST_CASE("a tensor of another shape or type is not initialised")
{
    sdp::slab part;
    part.full_shape = {4};
    part.axes = {{{1, 3}}};
    part.shape = {2};
    const auto zero = [](sdp::index_t) { return 0.0; };
    std::vector<float> small(1);
    CHECK(unit::flaw([&] { sdp::initialize(small, part, zero); }, {"local tensor", "[1]", "[2]"}) == "");
    std::vector<std::uint16_t> bits(2);
    const sdp::tensor_view half {bits.data(), {2}, {1}, sdp::element_type::f16};
    CHECK(unit::flaw([&] { sdp::initialize(half, part, zero); }, {"f16", "f32 or f64"}) == "");
}
