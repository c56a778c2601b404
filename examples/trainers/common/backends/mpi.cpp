// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "common/run/run.hpp"
#include "common/run/training.hpp"
#include "common/settings/sentence.hpp"

#include <sdp/comm/mpi.hpp>

#include <boost/mpi/collectives.hpp>
#include <boost/mpi/environment.hpp>

#include <algorithm>
#include <functional>
#include <optional>

// mpirun passes an interrupt on as SIGTERM and kills a second later. Where a step takes longer than that, give it more
// time for the summary: mpirun --mca odls_base_sigkill_timeout 10.

namespace trainer {

int run_on_mpi(int argc, char** argv, program& p)
{
    // Gradients become ready in the thread that runs the backward pass, which is this one.
    const boost::mpi::environment environment(argc, argv, boost::mpi::threading::funneled);
    const boost::mpi::communicator world;

    std::optional<job> work;
    outcome start;
    try {
        work = prepare(argc, argv, p, world.size());
    } catch (...) {
        start = outcome_of(std::current_exception());
    }
    // One rank speaks for all: they mostly find the same.
    const int speaker = boost::mpi::all_reduce(world, work ? world.size() : world.rank(), boost::mpi::minimum<int>());
    if (speaker < world.size())
        return world.rank() == speaker ? report(p.name(), start) : work ? 1 : start.code;

    try {
        const auto result = train(*work, sdp::mpi_communicator(world));
        if (world.rank() == 0)
            publish(work->o, result);
        return 0;
    } catch (...) {
        auto result = outcome_of(std::current_exception());
        result.message.insert(0, sentence("rank ", world.rank(), ": "));
        const int code = report(p.name(), result);
        environment.abort(code); // the others may be waiting for this rank
        return code;
    }
}

} // namespace trainer
