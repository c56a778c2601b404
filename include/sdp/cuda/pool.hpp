// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Pool of device memory, reused in the order of one stream and freed by the destructor, because freeing waits for the
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

    /// The smallest free block of at least `bytes` and at most twice as many, or a new block; aligned to 256 bytes.
    /// @throws sdp::cuda_error if the device has no memory left
    [[nodiscard]] std::byte* take(std::size_t bytes)
    {
        bytes = std::max<std::size_t>((bytes + 255) / 256 * 256, 256);
        block* best = nullptr;
        for (auto& b : blocks_)
            if (!b.taken && b.bytes >= bytes && b.bytes <= 2 * bytes && (best == nullptr || b.bytes < best->bytes))
                best = &b;
        if (best == nullptr) {
            blocks_.reserve(blocks_.size() + 1); // so that nothing throws after the allocation
            void* data = nullptr;
            check_call(cudaMalloc(&data, bytes), "cudaMalloc");
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
