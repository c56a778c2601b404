// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <sdp/comm/mpi.hpp>

#include <boost/mpi/communicator.hpp>
#include <boost/mpi/environment.hpp>

#include <chrono>
#include <cstdio>

// Sends its rank around a ring.
int main(int argc, char** argv)
{
    const boost::mpi::environment environment(argc, argv);
    const boost::mpi::communicator world;
    sdp::mpi_communicator workers(world);

    const int size = workers.size();
    const int mine = workers.rank();
    const int previous = (mine + size - 1) % size;
    int received = mine;
    if (size > 1) {
        const sdp::outgoing send {(mine + 1) % size, &mine, sizeof mine};
        const sdp::incoming receive {previous, &received, sizeof received};
        auto pending = workers.exchange(0, {&send, 1}, {&receive, 1});
        pending.wait(std::chrono::seconds(30));
    }
    if (received != previous) {
        std::fprintf(stderr, "rank %d received %d; expected %d\n", mine, received, previous);
        return 1;
    }
    return 0;
}
