// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Memory of a device that is used again in the order of one stream, and given back at the very end: freeing waits for the
/// whole device.

#include <sdp/cuda/runtime.hpp>

#include <algorithm>
#include <cstddef>
#include <vector>

namespace sdp::cuda {

class pool {
public:
    pool() = default;
    pool(const pool&) = delete;
    pool& operator=(const pool&) = delete;
    ~pool()
    {
        for (const auto& b : blocks_)
            cudaFree(b.data);
    }

    /// The smallest free block that is large enough and not much too large, or a new one; aligned to 256 bytes.
    /// @throws sdp::cuda_error if there is no memory
    [[nodiscard]] std::byte* take(std::size_t bytes)
    {
        bytes = std::max<std::size_t>((bytes + 255) / 256 * 256, 256);
        block* best = nullptr;
        for (auto& b : blocks_)
            if (!b.taken && b.bytes >= bytes && b.bytes <= 2 * bytes && (best == nullptr || b.bytes < best->bytes))
                best = &b;
        if (best == nullptr) {
            blocks_.reserve(blocks_.size() + 1); // so that nothing throws once there is memory
            void* data = nullptr;
            check(cudaMalloc(&data, bytes), "cudaMalloc");
            blocks_.push_back({static_cast<std::byte*>(data), bytes, false});
            best = &blocks_.back();
        }
        best->taken = true;
        return best->data;
    }
    void give_back(const std::byte* data) noexcept
    {
        for (auto& b : blocks_)
            if (b.data == data)
                b.taken = false;
    }

private:
    struct block {
        std::byte* data;
        std::size_t bytes;
        bool taken;
    };
    std::vector<block> blocks_;
};

} // namespace sdp::cuda
