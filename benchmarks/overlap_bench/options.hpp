// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief What overlap_bench measures, as told on its command line.

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace overlap_bench {

/// A number of holders that differs from unit to unit, between 2 and the number of workers.
inline constexpr int mixed_holders = 0;

struct options {
    std::string backend = "threads"; ///< or "mpi", where the launcher decides the number of workers
    int workers = 8;
    std::string layout = "scattered"; ///< see layout.hpp
    std::vector<int> holders {2, 4, 8};
    std::vector<std::size_t> bytes {std::size_t {16} << 20}; ///< of the whole model; synthetic layouts only
    std::vector<std::size_t> run_bytes {4096}; ///< neighbouring bytes with one holder set; synthetic layouts only
    std::size_t parameters = 0; ///< of a synthetic layout; 0: as many as are of about 2 MiB each
    std::size_t scale = 1; ///< divides layers and vocabulary of a real layout
    std::size_t bucket_bytes = 0; ///< 0: what the library does by itself
    int rounds = 11; ///< measured, after two that are not
    double least_seconds = 1; ///< go on that long with short settings, for up to 16 times the rounds
    double most_seconds = 60; ///< end a setting early after that, but not before three rounds
    std::vector<std::string> only; ///< routes; empty: all
    std::string json; ///< file for one object per line; empty: none

    [[nodiscard]] bool wants(std::string_view route) const;
};

/// Called with a flag and its value.
using flag_setter = std::function<void(std::string_view, std::string_view)>;

/// @throws std::invalid_argument with a sentence for the user, as all here
void parse_flags(int argc, char** argv, const std::map<std::string_view, flag_setter>& flags);

/// A number ≥ 1, with K, M or G behind it or nothing.
[[nodiscard]] std::size_t size_of(std::string_view flag, std::string_view text);
[[nodiscard]] std::vector<std::size_t> sizes_of(std::string_view flag, std::string_view text);

[[nodiscard]] options parse(int argc, char** argv);

} // namespace overlap_bench
