// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The contender from CUB: many copies in one launch, each with a pointer and a size of its own.

#include <sdp/cuda/pool.hpp>

#include <cstddef>
#include <vector>

namespace tile_bench {

class batched_copy {
public:
    struct stretch {
        const std::byte* from = nullptr;
        std::byte* to = nullptr;
        std::size_t bytes = 0;
    };

    explicit batched_copy(const std::vector<stretch>& stretches);
    /// Starts the copies.
    void operator()(cudaStream_t stream);

private:
    std::size_t count_;
    sdp::cuda::pool pool_;
    std::byte *from_, *to_, *sizes_, *scratch_ = nullptr;
    std::size_t scratch_bytes_ = 0;
};

} // namespace tile_bench
