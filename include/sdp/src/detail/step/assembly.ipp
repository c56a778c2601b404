// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Copies elements between tensors and the parts that owners send.

#include <sdp/detail/elements/element_dispatch.hpp>
#include <sdp/detail/elements/local_tensor.hpp>
#include <sdp/detail/step/assembly.hpp>
#include <sdp/src/separate.hpp>

#include <cstddef>
#include <vector>

namespace sdp::detail {

SDP_INLINE void assembly::append(
    const overlap_plan& plan, const overlap_piece& piece, const tensor_view& tensor, std::vector<std::byte>& out)
{
    with_storage_type(tensor.type, [&]<class T>(T) {
        const std::size_t at = out.size();
        out.resize(at + plan.size_of(piece) * sizeof(T));
        local_tensor<T>(tensor).gather(plan, piece, reinterpret_cast<T*>(out.data() + at));
    });
}

SDP_INLINE std::vector<std::vector<std::byte>> assembly::room_for_parts(parameter_id id, std::size_t element) const
{
    std::vector<std::vector<std::byte>> out(static_cast<std::size_t>(plan_->world));
    for (const auto& piece : plan_->of(index_of(id))) {
        auto& part = out[static_cast<std::size_t>(plan_->owner_of(piece))];
        part.resize(part.size() + plan_->size_of(piece) * element);
    }
    return out;
}

SDP_INLINE void assembly::put_together(
    parameter_id id, const tensor_view& full, const std::vector<std::vector<std::byte>>& parts) const
{
    with_storage_type(full.type, [&]<class T>(T) {
        std::vector<std::size_t> done(parts.size(), 0);
        const local_tensor<T> whole(full);
        for (const auto& piece : plan_->of(index_of(id))) {
            const auto owner = static_cast<std::size_t>(plan_->owner_of(piece));
            whole.scatter(*plan_, piece, reinterpret_cast<const T*>(parts[owner].data()) + done[owner]);
            done[owner] += plan_->size_of(piece);
        }
    });
}

} // namespace sdp::detail
