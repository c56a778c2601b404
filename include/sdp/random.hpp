// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Random numbers as a function of their index, and initialisation of slabs with them.
///
/// A worker fills only the elements it stores, yet all workers agree bit for bit, because an element's value depends on its index
/// in the full tensor and not on earlier draws. No worker ever allocates the full model.

#include <sdp/subnetwork.hpp>

#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>

namespace sdp {

/// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): a bijection of the counter under a key,
/// without state.
[[nodiscard]] constexpr std::array<std::uint32_t, 4> philox4x32(
    std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key) noexcept
{
    for (int round = 0; round < 10; ++round) {
        const std::uint64_t a = std::uint64_t {0xD2511F53} * counter[0];
        const std::uint64_t b = std::uint64_t {0xCD9E8D57} * counter[2];
        counter = {static_cast<std::uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(b),
            static_cast<std::uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(a)};
        key[0] += 0x9E3779B9;
        key[1] += 0xBB67AE85;
    }
    return counter;
}

/// An endless random sequence with access to any index.
class counter_generator {
public:
    /// Streams of one seed are independent; use the parameter's number, for example.
    constexpr counter_generator(std::uint64_t seed, std::uint64_t stream) noexcept
        : seed_(seed)
        , stream_(stream)
    {
    }

    /// 64 random bits.
    [[nodiscard]] constexpr std::uint64_t bits(std::uint64_t index) const noexcept
    {
        const auto words = draw(index);
        return (std::uint64_t {words[1]} << 32) | words[0];
    }

    /// Uniform in [0, 1), with 53 random bits.
    [[nodiscard]] constexpr double uniform(std::uint64_t index) const noexcept { return unit(bits(index)); }

    /// Standard normal, by the Box–Muller transform. All machines with the same math library get the same bits; other libraries
    /// may differ in the last bit of a double.
    [[nodiscard]] double normal(std::uint64_t index) const noexcept
    {
        const auto words = draw(index);
        const double radius = 1.0 - unit((std::uint64_t {words[1]} << 32) | words[0]); // in (0, 1]
        const double angle = unit((std::uint64_t {words[3]} << 32) | words[2]);
        return std::sqrt(-2.0 * std::log(radius)) * std::cos(2.0 * std::numbers::pi * angle);
    }

private:
    [[nodiscard]] constexpr std::array<std::uint32_t, 4> draw(std::uint64_t index) const noexcept
    {
        return philox4x32({static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(index >> 32),
                              static_cast<std::uint32_t>(stream_), static_cast<std::uint32_t>(stream_ >> 32)},
            {static_cast<std::uint32_t>(seed_), static_cast<std::uint32_t>(seed_ >> 32)});
    }
    [[nodiscard]] static constexpr double unit(std::uint64_t word) noexcept { return static_cast<double>(word >> 11) * 0x1p-53; }

    std::uint64_t seed_;
    std::uint64_t stream_;
};

/// Sets every element of a local tensor to `f(i)`, where i is the element's row-major index in the full tensor.
///
/// `initialize(w, slab, [&](index_t i) { return 0.02 * generator.normal(i); })`
/// @throws sdp::error unless the tensor has the slab's shape and holds f32 or f64 in host memory
template <class T, class F>
requires std::is_invocable_r_v<double, F&, index_t>
void initialize(const T& local, const slab& s, F&& f)
{
    const auto here = detail::shaped(view_of(local), s.shape, "the local tensor");
    const auto full_strides = row_major_strides(s.full_shape);
    const index_t step = here.strides.empty() ? 1 : here.strides[here.strides.size() - 1];
    const auto fill = [&]<class E>(E* data) {
        detail::for_each_stretch(s, here.strides, full_strides, [&](index_t at, index_t full, index_t length) {
            for (index_t i = 0; i < length; ++i)
                data[at + i * step] = static_cast<E>(f(full + i));
        });
    };
    if (here.type == element_type::f32)
        fill(static_cast<float*>(here.data));
    else if (here.type == element_type::f64)
        fill(static_cast<double*>(here.data));
    else
        detail::fail("the local tensor holds ", name_of(here.type), "; expected f32 or f64");
}

} // namespace sdp
