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

    /// The view with the given shape, if it fits; a flat buffer fits any shape with as many elements, and extents of 1 in front
    /// or behind make no difference.
    [[nodiscard]] std::optional<tensor_view> fit(tensor_view view, const extents& shape, memory_space space = memory_space::host);

    [[noreturn]] void fail_to_fit(
        const tensor_view& view, const extents& shape, std::string_view what, memory_space space = memory_space::host);

    [[nodiscard]] tensor_view shaped(const tensor_view& view, const extents& shape, std::string_view what);

    void copy_slab(const tensor_view& full, const tensor_view& local, const slab& s, direction way);

} // namespace detail

/// Copies the selected elements of a full tensor into the local one.
/// @throws sdp::input_error unless `full` has the full shape, `local` the slab's, and both the same element type
template <class Full, class Local> void slice(const Full& full, const Local& local, const slab& s)
{
    detail::copy_slab(view_of(full), view_of(local), s, detail::direction::to_local);
}

/// Copies the local tensor to the positions of its elements in the full one, and leaves the other elements unchanged.
/// @throws sdp::input_error as `slice` does
template <class Local, class Full> void unslice(const Local& local, const Full& full, const slab& s)
{
    detail::copy_slab(view_of(full), view_of(local), s, detail::direction::to_full);
}

} // namespace sdp

#ifndef SDP_SEPARATE_COMPILATION
#include <sdp/src/slab.ipp>
#endif
