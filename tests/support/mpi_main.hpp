// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief doctest with a `main` for MPI: every rank runs every case, and one failing rank fails them all.
///
/// Include it in exactly one source of a test program.

#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <boost/mpi/communicator.hpp>
#include <boost/mpi/environment.hpp>

int main(int argc, char** argv)
{
    const boost::mpi::environment environment(argc, argv);
    const boost::mpi::communicator world;
    doctest::Context context(argc, argv);
    if (world.rank() != 0)
        context.setOption("minimal", true); // the others only speak up when something fails
    int failed = context.run() == 0 ? 0 : 1;
    MPI_Allreduce(MPI_IN_PLACE, &failed, 1, MPI_INT, MPI_MAX, world);
    return failed;
}
