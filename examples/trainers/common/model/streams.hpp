// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Assigns streams of the counter generator to uses, so that no two uses share random numbers.

#include <cstdint>

namespace trainer::streams {

inline constexpr std::uint64_t weights = 0; ///< plus the parameter's number
inline constexpr std::uint64_t data = std::uint64_t {1} << 32; ///< plus the rank
inline constexpr std::uint64_t sample = std::uint64_t {2} << 32;
inline constexpr std::uint64_t drops = std::uint64_t {3} << 32; ///< plus the rank
inline constexpr std::uint64_t augmentation = std::uint64_t {4} << 32; ///< plus the rank

} // namespace trainer::streams
