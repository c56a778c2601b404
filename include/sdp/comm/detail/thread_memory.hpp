// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Memory of the workers of one process, which all of them reach.

#include <atomic>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

namespace sdp::detail {

/// The memory that all ranks of a group opened in one collective call.
struct thread_memory {
    explicit thread_memory(std::size_t ranks)
        : own(ranks)
        , visible(ranks)
        , kept(ranks)
    {
    }

    struct alignas(64) line {
        std::byte bytes[64];
    };

    std::vector<std::vector<line>> own;
    std::vector<std::atomic<std::byte*>> visible; ///< null until the rank has opened its part
    std::vector<std::shared_ptr<void>> kept; ///< owned by the memory
    std::size_t opened = 0; ///< number of ranks that opened it; guarded by the lock of `thread_memories`
};

/// The memories of a group, which every rank opens in the same order.
class thread_memories {
public:
    explicit thread_memories(std::size_t ranks)
        : opened_(ranks, 0)
    {
    }

    /// Opens a rank's part of its next memory, filled with zeros, without waiting for the others. The memory owns `keep`.
    [[nodiscard]] std::shared_ptr<thread_memory> open(std::size_t rank, std::size_t bytes, std::shared_ptr<void> keep);

private:
    std::mutex mutex_;
    std::vector<std::size_t> opened_; ///< by rank: number of memories opened
    std::map<std::size_t, std::shared_ptr<thread_memory>> unfinished_; ///< opened by some ranks only, by number
};

} // namespace sdp::detail

#ifndef SDP_SEPARATE_COMPILATION
#include <sdp/src/comm/detail/thread_memory.ipp>
#endif
