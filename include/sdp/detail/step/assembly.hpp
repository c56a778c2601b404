// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Puts full parameters together at one rank, from the elements that each worker owns.

#include <sdp/comm/detail/root_collectives.hpp>
#include <sdp/detail/elements/element_dispatch.hpp>
#include <sdp/detail/elements/local_tensor.hpp>
#include <sdp/overlap/make_plan.hpp>

#include <chrono>
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
        return with_storage_type(m[id].type(), [&]<class T>(T) -> std::uint64_t {
            std::vector<T> mine;
            for (const auto& piece : plan.of(index_of(id)))
                if (plan.owner_of(piece) == plan.rank) {
                    mine.resize(mine.size() + plan.size_of(piece));
                    local_tensor<T>(tensor_of(piece.slab)).gather(plan, piece, mine.data() + mine.size() - plan.size_of(piece));
                }
            if (comm.rank() != root) {
                if (mine.empty())
                    return 0;
                const outgoing message {root, mine.data(), mine.size() * sizeof(T)};
                comm.exchange(assemble_tag, std::span(&message, 1), std::span<const incoming> {}).wait(limit);
                return message.bytes;
            }
            if (!plan_)
                plan_ = make_assembly_plan(m, r, root);
            std::vector<std::vector<T>> parts(static_cast<std::size_t>(comm.size()));
            for (const auto& piece : plan_->of(index_of(id))) {
                auto& part = parts[static_cast<std::size_t>(plan_->owner_of(piece))];
                part.resize(part.size() + plan_->size_of(piece));
            }
            std::vector<incoming> messages;
            for (int rank = 0; rank < comm.size(); ++rank)
                if (auto& part = parts[static_cast<std::size_t>(rank)]; rank != root && !part.empty())
                    messages.push_back({rank, part.data(), part.size() * sizeof(T)});
            comm.exchange(assemble_tag, std::span<const outgoing> {}, messages).wait(limit);
            parts[static_cast<std::size_t>(root)] = std::move(mine);
            std::vector<std::size_t> done(parts.size(), 0);
            const local_tensor<T> whole(full);
            for (const auto& piece : plan_->of(index_of(id))) {
                const auto owner = static_cast<std::size_t>(plan_->owner_of(piece));
                whole.scatter(*plan_, piece, parts[owner].data() + done[owner]);
                done[owner] += plan_->size_of(piece);
            }
            return 0;
        });
    }

private:
    std::optional<overlap_plan> plan_; ///< at a root, once it has assembled
};

} // namespace sdp::detail
