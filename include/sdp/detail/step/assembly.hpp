// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Puts full parameters together at one rank, from the elements that each worker owns.

#include <sdp/comm/detail/root_collectives.hpp>
#include <sdp/overlap/make_plan.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace sdp::detail {

/// Puts full parameters together at one rank.
class assembly {
public:
    /// Collective. `tensor_of(slab)` names this worker's values; `full` counts at the root only. Returns the bytes sent.
    template <communicator C, class TensorOf>
    std::uint64_t run(C& comm, const overlap_plan& plan, const model& m, const residency& r, parameter_id id, int root,
        const tensor_view& full, std::chrono::milliseconds limit, TensorOf tensor_of)
    {
        std::vector<std::byte> mine;
        for (const auto& piece : plan.of(index_of(id)))
            if (plan.owner_of(piece) == plan.rank)
                append(plan, piece, tensor_of(piece.slab), mine);
        if (comm.rank() != root) {
            if (mine.empty())
                return 0;
            const outgoing message {root, mine.data(), mine.size()};
            comm.exchange(assemble_tag, std::span(&message, 1), std::span<const incoming> {}).wait(limit);
            return message.bytes;
        }
        if (!plan_)
            plan_ = make_assembly_plan(m, r, root);
        auto parts = room_for_parts(id, size_of(m[id].type()));
        std::vector<incoming> messages;
        for (int rank = 0; rank < comm.size(); ++rank)
            if (auto& part = parts[static_cast<std::size_t>(rank)]; rank != root && !part.empty())
                messages.push_back({rank, part.data(), part.size()});
        comm.exchange(assemble_tag, std::span<const outgoing> {}, messages).wait(limit);
        parts[static_cast<std::size_t>(root)] = std::move(mine);
        put_together(id, full, parts);
        return 0;
    }

private:
    /// Appends the elements of a piece to `out`.
    static void append(
        const overlap_plan& plan, const overlap_piece& piece, const tensor_view& tensor, std::vector<std::byte>& out);

    /// Makes room for the part of every rank.
    [[nodiscard]] std::vector<std::vector<std::byte>> room_for_parts(parameter_id id, std::size_t element) const;

    void put_together(parameter_id id, const tensor_view& full, const std::vector<std::vector<std::byte>>& parts) const;

    std::optional<overlap_plan> plan_; ///< at a root, once it has assembled
};

} // namespace sdp::detail

#ifndef SDP_SEPARATE_COMPILATION
#include <sdp/src/detail/step/assembly.ipp>
#endif
