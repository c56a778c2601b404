// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief A tensor of either element type and any memory layout, in a buffer that shows every write outside its elements.

#include "oracle.hpp"

#include <sdp/tensor.hpp>

#include <algorithm>
#include <bit>
#include <cstring>
#include <span>
#include <vector>

namespace oracle {

/// Memory of the tensors. A test on a device names memory that the host reaches too, before it makes any tensor.
struct element_memory {
    void* (*allocate)(std::size_t) = [](std::size_t bytes) { return ::operator new(bytes); };
    void (*release)(void*) = [](void* memory) { ::operator delete(memory); };
    void (*settle)() = [] {}; ///< returns when the device has done all it was given
    sdp::memory_space space = sdp::memory_space::host;
};
inline element_memory tensor_memory;

template <class T> struct element_allocator {
    using value_type = T;

    element_allocator() = default;
    template <class U> element_allocator(const element_allocator<U>&) noexcept { }
    [[nodiscard]] T* allocate(std::size_t n) { return static_cast<T*>(tensor_memory.allocate(n * sizeof(T))); }
    void deallocate(T* memory, std::size_t) noexcept { tensor_memory.release(memory); }
    friend bool operator==(const element_allocator&, const element_allocator&) noexcept { return true; }
};

inline std::uint64_t bits_of(double x)
{
    return std::bit_cast<std::uint64_t>(x);
}

/// Elements are read and written as double, which holds every float. Fresh ones are poison: a NaN with a payload, so that
/// arithmetic with it shows in the result, and a write over it shows in its bits.
class guarded_tensor {
public:
    guarded_tensor() = default;

    /// Without `random` the elements are contiguous, otherwise the axes lie in any order and with gaps.
    guarded_tensor(sdp::element_type type, const sdp::extents& shape, sequence* random)
        : type_(type)
        , shape_(shape)
        , strides_(sdp::row_major_strides(shape))
    {
        index_t span = shape.product();
        if (random != nullptr) {
            std::vector<std::size_t> order;
            for (std::size_t axis = 0; axis < shape.size(); ++axis)
                order.push_back(axis);
            random->shuffle(order);
            span = random->between(1, 2);
            for (const auto axis : order) {
                strides_[axis] = span;
                span = span * shape[axis] + random->below(3);
            }
        }
        const auto count = static_cast<std::size_t>(span + 2 * guard);
        type == sdp::element_type::f64 ? doubles_.assign(count, poison) : floats_.assign(count, static_cast<float>(poison));
    }

    [[nodiscard]] sdp::element_type type() const { return type_; }
    [[nodiscard]] const sdp::extents& shape() const { return shape_; }
    [[nodiscard]] const sdp::extents& strides() const { return strides_; }
    [[nodiscard]] std::size_t size() const { return static_cast<std::size_t>(shape_.product()); }
    [[nodiscard]] void* data() const
    {
        return type_ == sdp::element_type::f64 ? static_cast<void*>(const_cast<double*>(doubles_.data()) + guard)
                                               : const_cast<float*>(floats_.data()) + guard;
    }

    /// By row-major number.
    [[nodiscard]] double operator[](std::size_t element) const { return raw(place(element)); }
    void set(std::size_t element, double value)
    {
        if (type_ == sdp::element_type::f64)
            doubles_[place(element)] = value;
        else
            floats_[place(element)] = static_cast<float>(value);
    }
    void forget(std::size_t element) { set(element, poison); }
    [[nodiscard]] bool untouched(std::size_t element) const { return poisoned(place(element)); }

    /// Nothing but elements has been written.
    [[nodiscard]] bool intact() const
    {
        const std::size_t count = std::max(floats_.size(), doubles_.size());
        std::vector<bool> element(count);
        for (std::size_t i = 0; i < size(); ++i)
            element[place(i)] = true;
        for (std::size_t i = 0; i < count; ++i)
            if (!element[i] && !poisoned(i))
                return false;
        return true;
    }

    /// Calls f with the elements as a flat range, which needs them contiguous.
    template <class F> void as_flat(F f) const
    {
        if (type_ == sdp::element_type::f64)
            f(std::span<double>(static_cast<double*>(data()), size()));
        else
            f(std::span<float>(static_cast<float*>(data()), size()));
    }

private:
    static constexpr index_t guard = 4;
    // The payload survives the way to float and back.
    static constexpr double poison = std::bit_cast<double>(std::uint64_t {0x7ff8'5dba'4000'0000});

    [[nodiscard]] double raw(std::size_t at) const
    {
        return type_ == sdp::element_type::f64 ? doubles_[at] : double {floats_[at]};
    }
    [[nodiscard]] bool poisoned(std::size_t at) const
    {
        return type_ == sdp::element_type::f64
            ? bits_of(doubles_[at]) == bits_of(poison)
            : std::bit_cast<std::uint32_t>(floats_[at]) == std::bit_cast<std::uint32_t>(static_cast<float>(poison));
    }
    [[nodiscard]] std::size_t place(std::size_t element) const
    {
        const auto at = multi_index(static_cast<index_t>(element), shape_);
        index_t offset = guard;
        for (std::size_t axis = 0; axis < at.size(); ++axis)
            offset += at[axis] * strides_[axis];
        return static_cast<std::size_t>(offset);
    }

    sdp::element_type type_ = sdp::element_type::f32;
    sdp::extents shape_;
    sdp::extents strides_;
    std::vector<float, element_allocator<float>> floats_;
    std::vector<double, element_allocator<double>> doubles_;
};

} // namespace oracle

template <> struct sdp::tensor_traits<oracle::guarded_tensor> {
    static void* data(const oracle::guarded_tensor& t) { return t.data(); }
    static element_type type(const oracle::guarded_tensor& t) { return t.type(); }
    static const extents& shape(const oracle::guarded_tensor& t) { return t.shape(); }
    static const extents& strides(const oracle::guarded_tensor& t) { return t.strides(); }
    static memory_space space(const oracle::guarded_tensor&) { return oracle::tensor_memory.space; }
};
