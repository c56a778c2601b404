// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "../common/mpi_crew.hpp"
#include "bench.hpp"

#include <sdp/comm/mpi.hpp>

#include <boost/mpi/environment.hpp>

namespace backward_bench {

int run_mpi(const options& o, bench::program& p)
{
    const boost::mpi::environment environment;
    const boost::mpi::communicator world;
    const sdp::mpi_communicator comm(world);
    add_settings(o, p, world.size(),
        [&](const overlap_bench::layout& l, std::size_t bucket, const bench::selection& chosen, int rounds, double& backward_ms) {
            return measure(o, l, bucket, comm, chosen, rounds, backward_ms, bench::coordinator_of(world));
        });
    return bench::run_program(p, world);
}

} // namespace backward_bench
