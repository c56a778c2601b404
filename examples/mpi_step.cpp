// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief One step between MPI processes: `mpirun -n 4 mpi_step`. Only the communicator differs from the other examples.

#include <sdp/comm/mpi.hpp>
#include <sdp/sdp.hpp>

#include <boost/mpi/communicator.hpp>
#include <boost/mpi/environment.hpp>

#include <cstdio>
#include <exception>
#include <vector>

namespace {

/// A pinned parameter, so that the mean is over all workers: (N+1)/2 if worker r gives r+1.
void step(sdp::mpi_communicator comm)
{
    sdp::model m;
    const auto p = m.add_parameter("p", {1000});
    sdp::data_parallel net(m, sdp::pinned {}, sdp::forward_masking {}, comm);
    std::vector<float> gradient(1000, static_cast<float>(net.rank() + 1));
    net.ready(p, gradient);
    net.finish();
    for (const float g : gradient)
        if (g != static_cast<float>(net.world() + 1) / 2)
            throw sdp::input_error("the mean gradient is wrong");
    if (net.rank() == 0)
        std::printf("%d processes agree\n", net.world());
}

} // namespace

// [mpi]
int main(int argc, char** argv)
{
    // The library neither starts nor ends MPI. All of its calls here come from this thread, so "funneled" is enough.
    boost::mpi::environment environment(argc, argv, boost::mpi::threading::funneled);
    const boost::mpi::communicator world;
    try {
        step(sdp::mpi_communicator(world)); // duplicates the communicator: its messages meet no others
        return 0;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "rank %d: %s\n", world.rank(), e.what());
        environment.abort(1); // other processes may be waiting for this one
        return 1;
    }
}
// [mpi]
