// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Sums over all workers, in rank order: of a few numbers, and of the squares of a model's mean gradient.

#include <sdp/comm/detail/root_collectives.hpp>
#include <sdp/tensor.hpp>

#include <span>
#include <utility>
#include <vector>

namespace sdp::detail {

/// Keeps its lists between calls, so that a step allocates nothing.
template <communicator C> class rank_order_sums {
public:
    rank_order_sums(C& comm, std::chrono::milliseconds limit)
        : comm_(&comm)
        , collectives_(comm, limit)
    {
    }

    /// Collective. Replaces each value by its sum: the same bits on all ranks. Returns the bytes sent.
    std::uint64_t all_reduce(std::span<double> values)
    {
        collectives_.all_reduce(values, all_);
        return root_collective_bytes(comm_->rank(), comm_->size(), values.size_bytes(), values.size_bytes());
    }

    struct square_norm {
        double sum = 0;
        double nonfinite_parameter = -1; ///< a parameter that is not finite on
        double rank = -1; ///< this rank; negative if all are
    };

    /// Collective. Every element counts once, at its owner. @param own this worker's sum, and the first parameter where it is not
    /// finite, or as many as there are @param sent the bytes sent are added to it
    [[nodiscard]] square_norm all_reduce_squares(std::pair<double, std::size_t> own, std::size_t parameters, std::uint64_t& sent)
    {
        const double mine[] {own.first, static_cast<double>(own.second)};
        collectives_.gather(0, std::span<const double>(mine), all_);
        square_norm out;
        if (comm_->rank() == 0)
            for (std::size_t r = 0; r < world(); ++r) {
                out.sum += all_[2 * r];
                if (out.rank < 0 && all_[2 * r + 1] < static_cast<double>(parameters)) {
                    out.nonfinite_parameter = all_[2 * r + 1];
                    out.rank = static_cast<double>(r);
                }
            }
        collectives_.broadcast(0, std::span(&out, 1));
        sent += root_collective_bytes(comm_->rank(), comm_->size(), sizeof mine, sizeof out);
        return out;
    }

private:
    [[nodiscard]] std::size_t world() const noexcept { return static_cast<std::size_t>(comm_->size()); }

    C* comm_;
    root_collectives<C> collectives_;
    std::vector<double> all_; ///< at rank 0: what all gave
};

} // namespace sdp::detail
