// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "common/backends/memory.hpp"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>

#include <atomic>
#include <cstring>
#include <deque>
#include <mutex>
#include <set>
#include <utility>

namespace trainer {

namespace {
    /// An allocator's records. They must outlive the tensors that it counted.
    class host_meter final : public memory_meter {
    public:
        void add(std::int64_t bytes) noexcept
        {
            const auto now = live_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
            for (auto seen = peak_.load(std::memory_order_relaxed); now > seen && !peak_.compare_exchange_weak(seen, now);) { }
        }
        [[nodiscard]] std::int64_t live() const noexcept override { return live_; }
        [[nodiscard]] std::int64_t peak() const noexcept override { return peak_; }
        void reset_peak() noexcept override { peak_ = live_.load(); }

    private:
        std::atomic<std::int64_t> live_ = 0, peak_ = 0;
    };

    thread_local host_meter* current = nullptr;

    /// Lies in front of every allocation. Its size keeps what follows aligned as libtorch aligns.
    struct alignas(64) header {
        host_meter* meter;
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

    /// `allocate` is const up to some version of libtorch and not after it, when `copy_data` came: no `override`, so that it
    /// compiles with both.
    struct counting_allocator final : c10::Allocator {
        c10::DataPtr allocate(std::size_t bytes) const
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
        c10::DataPtr allocate(std::size_t bytes) { return std::as_const(*this).allocate(bytes); }
        void copy_data(void* to, const void* from, std::size_t bytes) const { std::memcpy(to, from, bytes); }
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
    static auto& meters = *new std::deque<host_meter>;
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
