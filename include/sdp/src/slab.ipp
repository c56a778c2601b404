// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Copies between a full tensor and a local one.

#include <sdp/slab.hpp>
#include <sdp/src/separate.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace sdp::detail {

template <class T> void copy_stretch(T* to, index_t to_stride, const T* from, index_t from_stride, index_t length)
{
    if (to_stride == 1 && from_stride == 1)
        std::memcpy(to, from, static_cast<std::size_t>(length) * sizeof(T));
    else
        for (index_t i = 0; i < length; ++i)
            to[i * to_stride] = from[i * from_stride];
}

template <class T> void copy_slab(tensor_view full, tensor_view local, const slab& s, direction way)
{
    const index_t full_step = full.strides.empty() ? 1 : full.strides[full.strides.size() - 1];
    const index_t local_step = local.strides.empty() ? 1 : local.strides[local.strides.size() - 1];
    for_each_stretch(s, local.strides, full.strides, [&](index_t at_local, index_t at_full, index_t length) {
        T* const here = static_cast<T*>(local.data) + at_local;
        T* const there = static_cast<T*>(full.data) + at_full;
        if (way == direction::to_local)
            copy_stretch(here, local_step, there, full_step, length);
        else
            copy_stretch(there, full_step, here, local_step, length);
    });
}

/// The axes of a shape without those of extent 1 in front and behind.
[[nodiscard]] inline std::span<const index_t> without_ones(const extents& shape) noexcept
{
    std::span<const index_t> out(shape.begin(), shape.end());
    while (!out.empty() && out.front() == 1)
        out = out.subspan(1);
    while (!out.empty() && out.back() == 1)
        out = out.first(out.size() - 1);
    return out;
}

/// Gives the view the shape, which differs only by extents of 1 in front or behind. Their strides are never used.
[[nodiscard]] inline bool reshape_ones(tensor_view& view, const extents& shape) noexcept
{
    const auto from = without_ones(view.shape), to = without_ones(shape);
    if (!std::ranges::equal(from, to))
        return false;
    const auto first = static_cast<std::size_t>(from.data() - view.shape.begin());
    const auto place = static_cast<std::size_t>(to.data() - shape.begin());
    auto strides = row_major_strides(shape);
    for (std::size_t axis = 0; axis < to.size(); ++axis)
        strides[place + axis] = view.strides[first + axis];
    view.shape = shape;
    view.strides = strides;
    return true;
}

SDP_INLINE std::optional<tensor_view> fit(tensor_view view, const extents& shape, memory_space space)
{
    if (view.flat && view.size() == shape.product()) {
        view.shape = shape;
        view.strides = row_major_strides(shape);
        view.flat = false;
    }
    if (view.space != space || (view.shape != shape && !reshape_ones(view, shape)))
        return std::nullopt;
    return view;
}

SDP_INLINE void fail_to_fit(const tensor_view& view, const extents& shape, std::string_view what, memory_space space)
{
    if (view.space != space)
        fail(what,
            space == memory_space::host ? " is not in host memory; expected a host tensor"
                                        : " is in host memory; expected a tensor on the device");
    fail(what, " has shape ", view.shape, "; expected ", shape);
}

SDP_INLINE tensor_view shaped(const tensor_view& view, const extents& shape, std::string_view what)
{
    if (const auto fitting = fit(view, shape))
        return *fitting;
    fail_to_fit(view, shape, what);
}

SDP_INLINE void copy_slab(const tensor_view& full, const tensor_view& local, const slab& s, direction way)
{
    const auto there = shaped(full, s.full_shape, "the full tensor");
    const auto here = shaped(local, s.shape, "the local tensor");
    if (there.type != here.type)
        fail("the full tensor holds ", name_of(there.type), " and the local one ", name_of(here.type), "; expected the same");
    switch (here.type) {
    case element_type::f32:
        return copy_slab<float>(there, here, s, way);
    case element_type::f64:
        return copy_slab<double>(there, here, s, way);
    case element_type::f16:
    case element_type::bf16:
        return copy_slab<std::uint16_t>(there, here, s, way);
    }
}

} // namespace sdp::detail
