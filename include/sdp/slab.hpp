// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Slabs: compact local tensors that select elements of a full tensor, and copies between the two.

#include <sdp/model.hpp>

#include <algorithm>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace sdp {

/// A half-open interval of one axis, in indices of the full tensor.
struct interval {
    index_t begin = 0;
    index_t end = 0;
    friend bool operator==(const interval&, const interval&) = default;
};

/// One local tensor: a product of selected indices on every axis of one parameter, stored row-major in ascending order.
struct slab {
    parameter_id parameter {};
    bool trained = false; ///< true if it has a gradient
    std::vector<std::vector<interval>> axes; ///< selected indices on each axis of the full tensor
    extents shape; ///< local extents: the sizes of the selections
    extents full_shape; ///< of the parameter

    [[nodiscard]] index_t size() const noexcept { return shape.product(); }

    /// The local index of a full index on an axis, or −1 if the index is not selected.
    [[nodiscard]] index_t local(std::size_t axis, index_t full) const noexcept
    {
        index_t before = 0;
        for (const auto& i : axes[axis]) {
            if (full < i.begin)
                return -1;
            if (full < i.end)
                return before + full - i.begin;
            before += i.end - i.begin;
        }
        return -1;
    }
};

namespace detail {

    /// Calls `visit(local_offset, full_offset, length)` for every sequence of elements that is consecutive on the last axis of
    /// both tensors. Offsets use the strides of the two tensors.
    template <class Visit>
    void for_each_stretch(const slab& s, const extents& local_strides, const extents& full_strides, Visit visit)
    {
        const auto walk = [&](auto& self, std::size_t axis, index_t local, index_t full) -> void {
            if (axis == s.axes.size()) {
                visit(local, full, index_t {1});
                return;
            }
            for (const auto& i : s.axes[axis]) {
                if (axis + 1 == s.axes.size()) {
                    visit(local, full + i.begin * full_strides[axis], i.end - i.begin);
                    local += (i.end - i.begin) * local_strides[axis];
                    continue;
                }
                for (index_t at = i.begin; at < i.end; ++at, local += local_strides[axis])
                    self(self, axis + 1, local, full + at * full_strides[axis]);
            }
        };
        walk(walk, 0, 0, 0);
    }

    enum class direction : std::uint8_t { to_local, to_full };

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
    [[nodiscard]] constexpr std::span<const index_t> without_ones(const extents& shape) noexcept
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

    /// The view with the given shape, if it fits; a flat buffer fits any shape with as many elements, and extents of 1 in front
    /// or behind make no difference.
    [[nodiscard]] inline std::optional<tensor_view> fit(
        tensor_view view, const extents& shape, memory_space space = memory_space::host)
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

    [[noreturn]] inline void fail_to_fit(
        const tensor_view& view, const extents& shape, std::string_view what, memory_space space = memory_space::host)
    {
        if (view.space != space)
            fail(what,
                space == memory_space::host ? " is not in host memory; expected a host tensor"
                                            : " is in host memory; expected a tensor on the device");
        fail(what, " has shape ", view.shape, "; expected ", shape);
    }

    [[nodiscard]] inline tensor_view shaped(const tensor_view& view, const extents& shape, std::string_view what)
    {
        if (const auto fitting = fit(view, shape))
            return *fitting;
        fail_to_fit(view, shape, what);
    }

    inline void copy_slab(const tensor_view& full, const tensor_view& local, const slab& s, direction way)
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

} // namespace detail

/// Copies the selected elements of a full tensor into the local one.
/// @throws sdp::error unless `full` has the full shape, `local` the slab's, and both the same element type
template <class Full, class Local> void slice(const Full& full, const Local& local, const slab& s)
{
    detail::copy_slab(view_of(full), view_of(local), s, detail::direction::to_local);
}

/// Copies the local tensor to the positions of its elements in the full one, and leaves the other elements unchanged.
/// @throws sdp::error as `slice` does
template <class Local, class Full> void unslice(const Local& local, const Full& full, const slab& s)
{
    detail::copy_slab(view_of(full), view_of(local), s, detail::direction::to_full);
}

} // namespace sdp
