// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Hands out a full parameter from one rank: each worker says which selections it keeps, and gets just those.

#include <sdp/comm/detail/root_collectives.hpp>
#include <sdp/subnetwork.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace sdp::detail {

/// A local tensor that is to be filled.
struct wanted_part {
    const slab* selection = nullptr;
    tensor_view into;
};

/// Numbers that say which selections a worker wants: how many, then for each axis of each the count of intervals and their ends.
[[nodiscard]] inline std::vector<index_t> describe_selections(std::span<const wanted_part> parts)
{
    std::vector<index_t> out;
    if (parts.empty())
        return out;
    out.push_back(static_cast<index_t>(parts.size()));
    for (const auto& part : parts)
        for (const auto& axis : part.selection->axes) {
            out.push_back(static_cast<index_t>(axis.size()));
            for (const auto& i : axis) {
                out.push_back(i.begin);
                out.push_back(i.end);
            }
        }
    return out;
}

/// The selections that another worker has described.
[[nodiscard]] inline std::vector<slab> read_selections(std::span<const index_t> description, const extents& full_shape)
{
    std::vector<slab> out(description.empty() ? 0 : static_cast<std::size_t>(description[0]));
    std::size_t at = 1;
    for (auto& s : out) {
        s.full_shape = full_shape;
        for (std::size_t axis = 0; axis < full_shape.size(); ++axis) {
            auto& selected = s.axes.emplace_back(static_cast<std::size_t>(description[at++]));
            index_t extent = 0;
            for (auto& i : selected) {
                i = {description[at], description[at + 1]};
                extent += i.end - i.begin;
                at += 2;
            }
            s.shape.push_back(extent);
        }
    }
    return out;
}

/// All elements of a tensor of that shape.
[[nodiscard]] inline slab select_all(const extents& shape)
{
    slab out;
    for (const index_t extent : shape)
        out.axes.push_back({{0, extent}});
    out.shape = out.full_shape = shape;
    return out;
}

/// A view of consecutive elements.
[[nodiscard]] inline tensor_view consecutive(std::byte* data, const extents& shape, element_type type)
{
    return {data, shape, row_major_strides(shape), type};
}

/// Collective. The root serves one worker after another, so that it needs room for one worker's part and no more.
/// @param full counts at the root only
/// @param mine all in host memory
/// @return the bytes sent
template <communicator C>
std::uint64_t distribute(
    C& comm, int root, const tensor_view& full, std::span<const wanted_part> mine, std::chrono::milliseconds limit)
{
    root_collectives<C> collectives(comm, limit);
    const auto description = describe_selections(mine);
    const std::uint64_t length = description.size();
    std::vector<std::uint64_t> lengths;
    collectives.gather(root, std::span(&length, 1), lengths);
    std::vector<std::byte> buffer;
    if (comm.rank() != root) {
        if (mine.empty())
            return sizeof length;
        collectives.send(gather_tag, root, description.data(), description.size() * sizeof(index_t));
        std::size_t bytes = 0;
        for (const auto& part : mine)
            bytes += static_cast<std::size_t>(part.selection->size()) * size_of(part.into.type);
        buffer.resize(bytes);
        collectives.receive(assemble_tag, root, buffer.data(), bytes);
        std::byte* from = buffer.data();
        for (const auto& part : mine) {
            const auto& shape = part.selection->shape;
            copy_slab(consecutive(from, shape, part.into.type), part.into, select_all(shape), direction::to_local);
            from += static_cast<std::size_t>(shape.product()) * size_of(part.into.type);
        }
        return sizeof length + description.size() * sizeof(index_t);
    }
    for (const auto& part : mine)
        copy_slab(full, part.into, *part.selection, direction::to_local);
    std::uint64_t sent = 0;
    std::vector<index_t> theirs;
    for (int rank = 0; rank < comm.size(); ++rank) {
        if (rank == root || lengths[static_cast<std::size_t>(rank)] == 0)
            continue;
        theirs.resize(static_cast<std::size_t>(lengths[static_cast<std::size_t>(rank)]));
        collectives.receive(gather_tag, rank, theirs.data(), theirs.size() * sizeof(index_t));
        const auto selections = read_selections(theirs, full.shape);
        std::size_t bytes = 0;
        for (const auto& s : selections)
            bytes += static_cast<std::size_t>(s.size()) * size_of(full.type);
        buffer.resize(bytes);
        std::byte* to = buffer.data();
        for (const auto& s : selections) {
            copy_slab(full, consecutive(to, s.shape, full.type), s, direction::to_local);
            to += static_cast<std::size_t>(s.size()) * size_of(full.type);
        }
        collectives.send(assemble_tag, rank, buffer.data(), bytes);
        sent += bytes;
    }
    return sent;
}

} // namespace sdp::detail
