// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Memory by measurement: live tensor storage of each worker, counted where it is allocated.
///
/// Workers may be threads of one process, so the operating system's figures cannot tell them apart. An allocator that
/// writes down for whom it allocates can.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

namespace trainer {

/// Bytes of tensor storage that one worker has live, and the most it had.
class memory_meter {
public:
    [[nodiscard]] virtual std::int64_t live() const noexcept = 0;
    [[nodiscard]] virtual std::int64_t peak() const noexcept = 0;
    /// Starts to look for the peak anew.
    virtual void reset_peak() noexcept = 0;

protected:
    ~memory_meter() = default;
};

/// Makes libtorch allocate host tensors through the counting allocator. Call it once, before the first tensor.
void install_memory_meters();

/// A meter for the calling thread: what the thread allocates from now on is counted there. It is never destroyed, since
/// a tensor may outlive the thread.
memory_meter& meter_this_thread();

/// Bytes of the distinct storages behind the tensors. Undefined ones count as nothing.
std::uint64_t storage_bytes(std::span<const at::Tensor> tensors);

} // namespace trainer
