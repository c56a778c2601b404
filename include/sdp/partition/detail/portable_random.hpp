// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Random numbers that are the same with every standard library.

#include <cstddef>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

namespace sdp::detail {

/// The standard fixes the output of the engine. Its distributions and std::shuffle differ between libraries, so they are not
/// used.
class portable_random {
public:
    explicit portable_random(std::uint64_t seed)
        : engine_(seed)
    {
    }

    /// Uniform in [0, bound), bound ≥ 1.
    [[nodiscard]] std::uint64_t below(std::uint64_t bound)
    {
        std::uint64_t value = engine_();
        if (value > (std::mt19937_64::max)() - bound) { // smaller values are unbiased at any bound and save a division
            const std::uint64_t unfair = ((std::mt19937_64::max)() % bound + 1) % bound;
            while (value > (std::mt19937_64::max)() - unfair)
                value = engine_();
        }
        return value % bound;
    }

    template <class T> void shuffle(std::vector<T>& values)
    {
        for (std::size_t i = values.size(); i > 1; --i)
            std::swap(values[i - 1], values[below(i)]);
    }

private:
    std::mt19937_64 engine_;
};

} // namespace sdp::detail
