// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "../overlap_bench/mpi_coordinator.hpp"
#include "bench.hpp"

#include <sdp/comm/mpi.hpp>

#include <boost/mpi/environment.hpp>

namespace backward_bench {

void run_mpi(const options& o, int argc, char** argv)
{
    const boost::mpi::environment environment(argc, argv);
    const boost::mpi::communicator world;
    run_on(o, sdp::mpi_communicator(world), overlap_bench::coordinator_of(world));
}

} // namespace backward_bench
