// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Counts what the calling thread allocates with `new`. Include it in exactly one source of a test program.

#include <support/allocation_count.hpp>

#include <cstddef>
#include <cstdlib>
#include <new>

// Out of line: once inlined, GCC takes malloc and delete for a mismatched pair.
[[gnu::noinline]] void* operator new(std::size_t size)
{
    ++support::allocation_count;
    if (void* const memory = std::malloc(size))
        return memory;
    throw std::bad_alloc();
}
// std::stable_sort allocates its buffer with this. Without it, the address sanitizer's own would meet our delete.
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept
{
    ++support::allocation_count;
    return std::malloc(size);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept
{
    std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept
{
    std::free(memory);
}
