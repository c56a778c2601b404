// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "memory.hpp"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>

#include <deque>
#include <mutex>
#include <set>

namespace trainer {

namespace {
    thread_local memory_meter* current = nullptr;

    /// Lies in front of every allocation. Its size keeps what follows aligned as libtorch aligns.
    struct alignas(64) header {
        memory_meter* meter;
        std::int64_t bytes;
    };

    void release(void* data)
    {
        if (data == nullptr)
            return;
        auto* const front = static_cast<header*>(data) - 1;
        if (front->meter != nullptr)
            front->meter->add(-front->bytes);
        c10::free_cpu(front);
    }

    struct counting_allocator final : c10::Allocator {
        c10::DataPtr allocate(std::size_t bytes) const override
        {
            const c10::Device host(c10::DeviceType::CPU);
            if (bytes == 0)
                return {nullptr, nullptr, &release, host};
            auto* const front = static_cast<header*>(c10::alloc_cpu(bytes + sizeof(header)));
            *front = {current, static_cast<std::int64_t>(bytes)};
            if (current != nullptr)
                current->add(front->bytes);
            return {front + 1, front + 1, &release, host};
        }
        c10::DeleterFnPtr raw_deleter() const override { return &release; }
    };
} // namespace

void install_memory_meters()
{
    static counting_allocator allocator;
    c10::SetCPUAllocator(&allocator, 100);
}

memory_meter& meter_this_thread()
{
    // Reachable for ever rather than destroyed at exit: libtorch keeps tensors in statics of its own.
    static auto& meters = *new std::deque<memory_meter>;
    static std::mutex mutex;
    const std::lock_guard lock(mutex);
    current = &meters.emplace_back();
    return *current;
}

std::uint64_t storage_bytes(std::span<const at::Tensor> tensors)
{
    std::set<const void*> seen;
    std::uint64_t bytes = 0;
    for (const auto& t : tensors)
        if (t.defined() && seen.insert(t.storage().unsafeGetStorageImpl()).second)
            bytes += t.storage().nbytes();
    return bytes;
}

} // namespace trainer
