// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief Times a backward pass, the exchange, and both at once, over links with a latency and a bandwidth.
///
/// `backward_bench --workers 4`
/// `backward_bench --workers 2 --compute processor --bucket-bytes 1M,4M`
/// `mpirun -n 2 backward_bench --backend mpi`
///
/// Messages take their time without costing the processor any, as over a network. A benchmark is named
/// `backend/compute/N:…/k:…/model:…/bucket:…/contender`; contenders are `backward`, `exchange` and `both`. Counters of `both`:
/// `hidden` is 1 − (both − backward) / exchange of the same round; `polling` is the share of a step that was spent to find that
/// nothing had arrived; `ready_ms` is the time within calls of `ready`, `blocked_ms` the part of it that waited.

#include "../common/thread_meeting.hpp"
#include "bench.hpp"

#include <sdp/comm/threads.hpp>

#include <benchmark/benchmark.h>

namespace {

int run_threads(const backward_bench::options& o, bench::program& p)
{
    backward_bench::add_settings(o, p, o.workers,
        [&o](
            const overlap_bench::layout& l, std::size_t bucket, const bench::selection& chosen, int rounds, double& backward_ms) {
            bench::thread_meeting meeting(o.workers);
            bench::results out;
            const double before = backward_ms;
            sdp::run_workers(o.workers, [&](sdp::thread_communicator comm) {
                double ms = before;
                auto mine = backward_bench::measure(o, l, bucket, comm, chosen, rounds, ms, meeting.of(comm.rank()));
                if (comm.rank() == 0) {
                    out = std::move(mine);
                    backward_ms = ms;
                }
            });
            return out;
        });
    return p.lead();
}

} // namespace

int main(int argc, char** argv)
{
    return bench::guarded("backward_bench", [&] {
        bench::program program("Times the exchange behind a backward pass, over links with a latency and a bandwidth.", 7);
        backward_bench::options o;
        o.add_to(program.flags());
        program.parse(argc, argv);
        benchmark::SetDefaultTimeUnit(benchmark::kMillisecond);
        return o.backend == "mpi" ? backward_bench::run_mpi(o, program) : run_threads(o, program);
    });
}
