// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The measuring's own collective operations, among MPI processes.

#include "measure.hpp"

#include <boost/mpi/communicator.hpp>

namespace overlap_bench {

[[nodiscard]] inline coordinator coordinator_of(const boost::mpi::communicator& world)
{
    const auto combined = [world](double value, MPI_Op op) {
        MPI_Allreduce(MPI_IN_PLACE, &value, 1, MPI_DOUBLE, op, world);
        return value;
    };
    coordinator out;
    out.root = world.rank() == 0;
    out.barrier = [world] { MPI_Barrier(world); };
    out.maximum = [combined](double value) { return combined(value, MPI_MAX); };
    out.sum = [combined](double value) { return combined(value, MPI_SUM); };
    return out;
}

} // namespace overlap_bench
