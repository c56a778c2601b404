// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The library's view of a framework's tensor: a trait with an empty primary template, and a plain view.
///
/// A framework specialises `sdp::tensor_traits` for its tensor type; the rest of the library does not need to know that type.
/// Contiguous ranges of a supported element (std::vector<float>, std::span<double>, …) need no specialisation.

#include <sdp/error.hpp>

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <ranges>
#include <span>
#include <string_view>
#include <type_traits>

namespace sdp {

/// Signed like the sizes of the frameworks, and wide enough for counts past 2^31.
using index_t = std::int64_t;

/// Format of an element in memory.
enum class element_type : std::uint8_t { f32, f64, f16, bf16 };

/// Memory that holds an element, and that decides who can access it.
enum class memory_space : std::uint8_t { host, cuda };

/// Bytes of one element.
[[nodiscard]] constexpr std::size_t size_of(element_type type) noexcept
{
    switch (type) {
    case element_type::f32:
        return 4;
    case element_type::f64:
        return 8;
    case element_type::f16:
    case element_type::bf16:
        return 2;
    }
    return 0;
}

[[nodiscard]] constexpr std::string_view name_of(element_type type) noexcept
{
    switch (type) {
    case element_type::f32:
        return "f32";
    case element_type::f64:
        return "f64";
    case element_type::f16:
        return "f16";
    case element_type::bf16:
        return "bf16";
    }
    return "unknown";
}

/// The element type of a C++ type. Specialise it for a framework's own half-precision types.
template <class T> struct element_type_of {
};
template <> struct element_type_of<float> : std::integral_constant<element_type, element_type::f32> {
};
template <> struct element_type_of<double> : std::integral_constant<element_type, element_type::f64> {
};

/// Largest number of axes of a tensor.
inline constexpr std::size_t max_axes = 8;

/// A short list of axis extents or strides, stored in place, because every step makes views and must not allocate.
class extents {
public:
    constexpr extents() = default;

    /// @throws sdp::input_error for more than `max_axes` axes
    template <std::ranges::input_range R>
    requires std::convertible_to<std::ranges::range_reference_t<R>, index_t>
    constexpr explicit extents(const R& values)
    {
        for (const auto value : values)
            push_back(static_cast<index_t>(value));
    }
    constexpr extents(std::initializer_list<index_t> values)
    {
        for (const auto value : values)
            push_back(value);
    }

    constexpr void push_back(index_t value)
    {
        if (size_ == max_axes)
            detail::fail("a tensor has more than ", max_axes, " axes, the most that is supported");
        values_[size_++] = value;
    }

    [[nodiscard]] constexpr std::size_t size() const noexcept { return size_; }
    [[nodiscard]] constexpr bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] constexpr const index_t* begin() const noexcept { return values_.data(); }
    [[nodiscard]] constexpr const index_t* end() const noexcept { return values_.data() + size_; }
    [[nodiscard]] constexpr index_t operator[](std::size_t axis) const noexcept { return values_[axis]; }
    [[nodiscard]] constexpr index_t& operator[](std::size_t axis) noexcept { return values_[axis]; }

    /// Product of the extents: the number of elements. One for a scalar.
    [[nodiscard]] constexpr index_t product() const noexcept
    {
        index_t out = 1;
        for (const auto value : *this)
            out *= value;
        return out;
    }

    friend constexpr bool operator==(const extents& a, const extents& b) noexcept { return std::ranges::equal(a, b); }

private:
    std::array<index_t, max_axes> values_ {};
    std::size_t size_ = 0;
};

/// The strides, in elements, of a row-major contiguous tensor of the given shape.
[[nodiscard]] constexpr extents row_major_strides(const extents& shape)
{
    extents out = shape;
    index_t stride = 1;
    for (std::size_t axis = shape.size(); axis-- > 0;) {
        out[axis] = stride;
        stride *= shape[axis];
    }
    return out;
}

/// A tensor without its C++ type: its address, shape and strides. Does not own the elements.
struct tensor_view {
    void* data = nullptr;
    extents shape;
    extents strides; ///< in elements
    element_type type = element_type::f32;
    memory_space space = memory_space::host;
    /// True for a buffer without a shape of its own (a contiguous range), which fits any shape with as many elements.
    bool flat = false;

    [[nodiscard]] index_t size() const noexcept { return shape.product(); }
    [[nodiscard]] bool contiguous() const
    {
        index_t expected = 1;
        for (std::size_t axis = shape.size(); axis-- > 0;) {
            if (shape[axis] != 1 && strides[axis] != expected)
                return false;
            expected *= shape[axis];
        }
        return true;
    }
};

/// The customisation point that presents a `T` as a tensor. Empty by default; a specialisation provides
///
/// | expression                        | result         | meaning                              | default if left out   |
/// |-----------------------------------|----------------|--------------------------------------|-----------------------|
/// | `tensor_traits<T>::data(t)`       | pointer        | first element, even of a const `t`   | none, required        |
/// | `tensor_traits<T>::shape(t)`      | range of ints  | extent of each axis                  | none, required        |
/// | `tensor_traits<T>::type(t)`       | `element_type` | format of an element                 | from `data`'s pointer |
/// | `tensor_traits<T>::strides(t)`    | range of ints  | elements between neighbours per axis | row-major contiguous  |
/// | `tensor_traits<T>::space(t)`      | `memory_space` | memory that holds the elements       | `memory_space::host`  |
/// | `tensor_traits<T>::flat`          | `bool`         | the buffer has no shape of its own   | `false`               |
///
/// Semantics the compiler cannot check: the pointer remains valid until the step that uses it has finished, and distinct indices
/// name distinct elements.
template <class T> struct tensor_traits {
};

namespace detail {
    template <class T>
    concept element_range = std::ranges::contiguous_range<T> && std::ranges::sized_range<T> && requires
    {
        element_type_of<std::ranges::range_value_t<T>>::value;
    };

    template <class T>
    concept typed_by_trait = requires(const T& t)
    {
        {
            tensor_traits<T>::type(t)
            } -> std::convertible_to<element_type>;
    };
    template <class T>
    concept typed_by_pointer = requires(const T& t)
    {
        element_type_of<std::remove_cv_t<std::remove_pointer_t<decltype(tensor_traits<T>::data(t))>>>::value;
    };
} // namespace detail

/// Presents a contiguous range as a flat buffer of its elements.
template <detail::element_range T> struct tensor_traits<T> {
    static constexpr bool flat = true;
    static auto data(const T& t) { return std::ranges::data(t); }
    static std::array<index_t, 1> shape(const T& t) { return {static_cast<index_t>(std::ranges::size(t))}; }
};

/// A type that the library reads and writes in place, as described by its `tensor_traits`.
///
/// @snippet tests/support/archetypes.hpp minimal tensor
template <class T>
concept tensor = requires(const std::remove_cvref_t<T>& t)
{
    requires std::is_pointer_v<decltype(tensor_traits<std::remove_cvref_t<T>>::data(t))>;
    requires std::ranges::input_range<decltype(tensor_traits<std::remove_cvref_t<T>>::shape(t))>;
}
&&(detail::typed_by_trait<std::remove_cvref_t<T>> || detail::typed_by_pointer<std::remove_cvref_t<T>>);

namespace detail {
    template <class T> void fill_view(tensor_view& out, const T& t)
    {
        using traits = tensor_traits<T>;
        out.data = const_cast<void*>(static_cast<const void*>(traits::data(t)));
        out.shape = extents(traits::shape(t));
        if constexpr (requires { traits::strides(t); })
            out.strides = extents(traits::strides(t));
        else
            out.strides = row_major_strides(out.shape);
        if constexpr (detail::typed_by_trait<T>)
            out.type = traits::type(t);
        else
            out.type = element_type_of<std::remove_cv_t<std::remove_pointer_t<decltype(traits::data(t))>>>::value;
        if constexpr (requires { traits::space(t); })
            out.space = traits::space(t);
        if constexpr (requires { traits::flat; })
            out.flat = traits::flat;
    }
} // namespace detail

/// The view of a tensor. A const tensor gives a writable view, as a framework's own handle types do.
template <class T> [[nodiscard]] tensor_view view_of(const T& t)
{
    static_assert(tensor<T>,
        "this type is no tensor that the library knows: specialise sdp::tensor_traits for it, with at least data(t) and "
        "shape(t); contiguous ranges of float or double are known already; see sdp/tensor.hpp");
    tensor_view out;
    if constexpr (tensor<T>)
        detail::fill_view(out, t);
    return out;
}

/// Returns the view itself, so that every function takes a tensor or a view.
[[nodiscard]] inline tensor_view view_of(const tensor_view& view)
{
    return view;
}

namespace detail {
    template <class T>
    concept element = requires
    {
        element_type_of<std::remove_const_t<T>>::value;
    };
} // namespace detail

/// A view of elements at distances `strides`, for memory without a tensor type: `view(data, {rows, columns}, {1, rows})`.
/// @throws sdp::input_error if the lists differ in length
template <detail::element T>
[[nodiscard]] tensor_view view(T* data, const extents& shape, const extents& strides, memory_space space = memory_space::host)
{
    if (shape.size() != strides.size())
        detail::fail("a view has shape ", shape, " and strides ", strides, "; expected a stride for each axis");
    return {const_cast<std::remove_const_t<T>*>(data), shape, strides, element_type_of<std::remove_const_t<T>>::value, space};
}

/// A view of consecutive elements, row-major.
template <detail::element T>
[[nodiscard]] tensor_view view(T* data, const extents& shape, memory_space space = memory_space::host)
{
    return view(data, shape, row_major_strides(shape), space);
}

/// A tensor, or the view of one.
template <class T>
concept viewable = std::same_as<std::remove_cvref_t<T>, tensor_view> || tensor<T>;

} // namespace sdp
