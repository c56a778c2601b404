// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Memory that tiles reach, and lists copied there.

#include <sdp/comm/stream.hpp>

#include <cstddef>
#include <span>
#include <vector>

namespace sdp::detail {

/// Frees its memory on destruction.
template <stream_exchange C> class device_arrays {
public:
    explicit device_arrays(C& comm)
        : comm_(&comm)
    {
    }
    device_arrays(const device_arrays&) = delete;
    device_arrays& operator=(const device_arrays&) = delete;
    ~device_arrays()
    {
        for (const auto* memory : memory_)
            comm_->executor().release(memory);
    }

    [[nodiscard]] std::byte* allocate(std::size_t bytes)
    {
        memory_.reserve(memory_.size() + 1); // so that nothing throws once there is memory
        memory_.push_back(comm_->executor().allocate(bytes));
        return memory_.back();
    }
    /// Null for an empty list.
    template <class T> [[nodiscard]] T* upload(const std::vector<T>& list)
    {
        if (list.empty())
            return nullptr;
        auto* const there = reinterpret_cast<T*>(allocate(list.size() * sizeof(T)));
        write(there, std::span<const T>(list));
        return there;
    }
    template <class T> void write(T* there, std::span<const T> from)
    {
        comm_->executor().write(reinterpret_cast<std::byte*>(there), from.data(), from.size_bytes());
    }

private:
    C* comm_;
    std::vector<std::byte*> memory_;
};

} // namespace sdp::detail
