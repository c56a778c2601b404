// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief MPI processes as the workers of a benchmark program: rank 0 runs Google Benchmark, the others follow.

#include "program.hpp"

#include <boost/mpi/communicator.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <string>

namespace bench {

[[nodiscard]] inline coordinator coordinator_of(const boost::mpi::communicator& world)
{
    const auto combined = [world](double value, MPI_Op op) {
        MPI_Allreduce(MPI_IN_PLACE, &value, 1, MPI_DOUBLE, op, world);
        return value;
    };
    coordinator out;
    out.barrier = [world] { MPI_Barrier(world); };
    out.maximum = [combined](double value) { return combined(value, MPI_MAX); };
    out.sum = [combined](double value) { return combined(value, MPI_SUM); };
    return out;
}

/// The version of the MPI library, on one line.
[[nodiscard]] inline std::string mpi_version()
{
    std::string text(MPI_MAX_LIBRARY_VERSION_STRING, '\0');
    int length = 0;
    MPI_Get_library_version(text.data(), &length);
    text.resize(static_cast<std::size_t>(length));
    return text.substr(0, text.find_first_of(",\n"));
}

/// Runs a program whose settings have been added on all ranks. A rank that fails alone ends all: the others wait for it.
[[nodiscard]] inline int run_program(program& p, const boost::mpi::communicator& world)
{
    const auto told = [world](announcement& what) {
        std::array<int, 2> head {what.setting, static_cast<int>(what.selected.size())};
        MPI_Bcast(head.data(), 2, MPI_INT, 0, world);
        what.setting = head[0];
        what.selected.resize(static_cast<std::size_t>(head[1]));
        MPI_Bcast(what.selected.data(), head[1], MPI_CHAR, 0, world);
    };
    if (world.rank() == 0)
        return p.lead([&](announcement what) { told(what); });
    try {
        p.follow([&] {
            announcement what;
            told(what);
            return what;
        });
    } catch (const std::exception& e) {
        std::fprintf(stderr, "rank %d: %s\n", world.rank(), e.what());
        MPI_Abort(world, 1);
    }
    return 0;
}

} // namespace bench
