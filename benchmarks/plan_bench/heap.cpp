// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "heap.hpp"

#include <algorithm>
#include <cstdlib>
#include <new>

namespace {

// In front of every allocation, and as large as its alignment, so that what follows is aligned as well.
constexpr std::size_t front = alignof(std::max_align_t);

std::size_t now = 0, peak = 0;

void* take(std::size_t size) noexcept
{
    auto* const memory = static_cast<std::byte*>(std::malloc(size + front));
    if (memory == nullptr)
        return nullptr;
    ::new (static_cast<void*>(memory)) std::size_t(size);
    now += size;
    peak = std::max(peak, now);
    return memory + front;
}

void give_back(void* memory) noexcept
{
    if (memory == nullptr)
        return;
    auto* const all = static_cast<std::byte*>(memory) - front;
    now -= *reinterpret_cast<std::size_t*>(all);
    std::free(all);
}

} // namespace

// Out of line: once inlined, GCC takes malloc and delete for a mismatched pair.
[[gnu::noinline]] void* operator new(std::size_t size)
{
    if (void* const memory = take(size))
        return memory;
    throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept
{
    return take(size);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept
{
    give_back(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept
{
    give_back(memory);
}

namespace plan_bench {

std::size_t heap_bytes() noexcept
{
    return now;
}
std::size_t peak_bytes() noexcept
{
    return peak;
}
void start_peak() noexcept
{
    peak = now;
}

} // namespace plan_bench
