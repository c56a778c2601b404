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

namespace detail {

    /// Evaluates c₀ + c₁x + …. `std::fma` rounds once everywhere, where a product and a sum may be rounded once or twice.
    template <std::size_t Count> [[nodiscard]] double polynomial(const double (&c)[Count], double x) noexcept
    {
        double out = c[Count - 1];
        for (std::size_t i = Count - 1; i-- > 0;)
            out = std::fma(out, x, c[i]);
        return out;
    }

    /// Natural logarithm of x > 0, to the last bits; the same with every math library.
    [[nodiscard]] inline double portable_log(double x) noexcept
    {
        int exponent = 0;
        double m = std::frexp(x, &exponent);
        if (m < 0.7071067811865476) {
            m *= 2;
            --exponent;
        }
        const double s = (m - 1) / (m + 1); // |s| < 0.172, and log m = 2 artanh s
        const double series = polynomial(
            {1.0, 1.0 / 3, 1.0 / 5, 1.0 / 7, 1.0 / 9, 1.0 / 11, 1.0 / 13, 1.0 / 15, 1.0 / 17, 1.0 / 19, 1.0 / 21, 1.0 / 23},
            s * s);
        return std::fma(static_cast<double>(exponent), std::numbers::ln2, 2 * s * series);
    }

    /// The x ≥ 0 that a standard normal number exceeds with probability `tail`, 0 < tail ≤ 1/2: Wichura's algorithm AS 241
    /// (1988).
    [[nodiscard]] inline double normal_quantile(double tail) noexcept
    {
        const double q = 0.5 - tail;
        if (q <= 0.425) {
            const double r = std::fma(-q, q, 0.180625);
            return q
                * polynomial(
                    {3.3871328727963666080e0, 1.3314166789178437745e+2, 1.9715909503065514427e+3, 1.3731693765509461125e+4,
                        4.5921953931549871457e+4, 6.7265770927008700853e+4, 3.3430575583588128105e+4, 2.5090809287301226727e+3},
                    r)
                / polynomial(
                    {1.0, 4.2313330701600911252e+1, 6.8718700749205790830e+2, 5.3941960214247511077e+3, 2.1213794301586595867e+4,
                        3.9307895800092710610e+4, 2.8729085735721942674e+4, 5.2264952788528545610e+3},
                    r);
        }
        const double r = std::sqrt(-portable_log(tail));
        if (r <= 5)
            return polynomial({1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0,
                                  3.64784832476320460504e0, 1.27045825245236838258e0, 2.41780725177450611770e-1,
                                  2.27238449892691845833e-2, 7.74545014278341407640e-4},
                       r - 1.6)
                / polynomial({1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
                                 1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4,
                                 1.05075007164441684324e-9},
                    r - 1.6);
        return polynomial({6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0,
                              2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
                              2.71155556874348757815e-5, 2.01033439929228813265e-7},
                   r - 5)
            / polynomial(
                {1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2, 7.86869131145613259100e-4,
                    1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15},
                r - 5);
    }

} // namespace detail

/// Normally distributed numbers of mean 0 as a function of an element's index; made by `normal`.
class normal_numbers {
public:
    normal_numbers(const counter_generator& generator, double deviation) noexcept
        : generator_(generator)
        , deviation_(deviation)
    {
    }

    [[nodiscard]] double operator()(index_t index) const noexcept
    {
        const std::uint64_t bits = generator_.bits(static_cast<std::uint64_t>(index));
        const double tail = (static_cast<double>(bits & ((std::uint64_t {1} << 52) - 1)) + 0.5) * 0x1p-53; // in (0, 1/2), exact
        const double out = deviation_ * detail::normal_quantile(tail);
        return bits >> 63 != 0 ? -out : out;
    }

private:
    counter_generator generator_;
    double deviation_;
};

/// Initial values of a parameter: `initialize(w, slab, normal(seed, id, 0.02))`. An element gets the same bits on every worker
/// that stores it, on every IEEE 754 machine and with every math library, which `counter_generator::normal` does not promise.
/// Parameters of one seed are independent.
/// @throws sdp::input_error on a standard deviation that is negative or not finite
[[nodiscard]] inline normal_numbers normal(std::uint64_t seed, parameter_id id, double deviation)
{
    if (!(deviation >= 0) || !std::isfinite(deviation))
        detail::fail("normal numbers of standard deviation ", deviation, "; expected a finite number of at least 0");
    return {counter_generator(seed, index_of(id)), deviation};
}

/// Sets every element of a local tensor to `f(i)`, where i is the element's row-major index in the full tensor.
///
/// `initialize(w, slab, normal(seed, slab.parameter, 0.02))`
/// @throws sdp::input_error unless the tensor has the slab's shape and holds f32 or f64 in host memory
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
