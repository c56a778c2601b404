// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Image files made up for the tests, written by other code than reads them.

#include <zlib.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace trainer_test {

using bytes = std::vector<std::uint8_t>;

inline void write(const std::filesystem::path& path, const bytes& content)
{
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(content.data()), static_cast<std::streamsize>(content.size()));
}

inline void write_compressed(const std::filesystem::path& path, const bytes& content)
{
    gzFile file = gzopen(path.c_str(), "wb");
    gzwrite(file, content.data(), static_cast<unsigned>(content.size()));
    gzclose(file);
}

/// Big-endian words, then bytes.
inline bytes idx(const std::vector<std::uint32_t>& header, const bytes& content)
{
    bytes out;
    for (const auto word : header)
        for (const int shift : {24, 16, 8, 0})
            out.push_back(static_cast<std::uint8_t>(word >> shift));
    out.insert(out.end(), content.begin(), content.end());
    return out;
}

/// The label of image i is i mod 10, and its pixels are a noisy pattern that tells the label.
inline std::uint8_t pixel(std::uint32_t image, std::uint32_t at)
{
    const std::uint32_t noise = (image * 2654435761U + at * 40503U) >> 7 & 63;
    return static_cast<std::uint8_t>((at * (image % 10 + 1) / 16 % 2) * 150 + noise);
}

/// A binary batch of CIFAR-10 with images `first` to `first + count`.
inline bytes cifar_batch(std::uint32_t first, std::uint32_t count)
{
    bytes out;
    for (std::uint32_t i = first; i < first + count; ++i) {
        out.push_back(static_cast<std::uint8_t>(i % 10));
        for (std::uint32_t at = 0; at < 3072; ++at)
            out.push_back(pixel(i, at));
    }
    return out;
}

/// Five batches and a test batch of so many images each.
inline void write_cifar(const std::filesystem::path& folder, std::uint32_t each)
{
    std::filesystem::create_directories(folder);
    for (std::uint32_t i = 0; i < 5; ++i)
        write(folder / ("data_batch_" + std::to_string(i + 1) + ".bin"), cifar_batch(i * each, each));
    write(folder / "test_batch.bin", cifar_batch(5 * each, each));
}

} // namespace trainer_test
