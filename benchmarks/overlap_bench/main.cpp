// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief Times the overlap exchange beside what one would use without it, in the columns of nccl-tests.
///
/// `overlap_bench --workers 8 --holders 2,4,8 --bytes 1M,16M --run-bytes 256,4096`
/// `mpirun -n 8 overlap_bench --backend mpi --holders 2,4 --bytes 16M --json results.jsonl`
///
/// `mpirun -n 8 overlap_bench --backend mpi --layout llama-130m-neuron --scale 4 --holders 2,4`
///
/// | route                    | what it is                                                                                |
/// |--------------------------|-------------------------------------------------------------------------------------------|
/// | `dense`                  | MPI_Allreduce of everything, in place; on threads a sum through shared memory             |
/// | ours, see `our_routes`   | gradients that become means, as they lie in a worker's compact tensors                    |
/// | `iallreduce`, `allreduce`| one all-reduce per set of holders, on contiguous buffers, all at once or in turn          |
/// | `gloo`                   | the faster all-reduce of gloo over everything, TCP on the loopback device                  |
/// | `memcpy`                 | one copy of what a worker holds                                                           |
///
/// `ratio` is to the dense route of the same rounds; `busbw` is 2(k−1)/k times the bytes a worker holds, over the time, in
/// GB/s; `sent max` and `bound` are what the busiest worker sends by the counters and by the formula.

#include "backends.hpp"

#include <cstdio>
#include <exception>

int main(int argc, char** argv)
{
    try {
        const auto o = overlap_bench::parse(argc, argv);
        if (o.backend == "mpi")
            overlap_bench::run_mpi(o, argc, argv);
        else
            overlap_bench::run_threads(o);
        return 0;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "overlap_bench: %s\n", e.what());
        return 1;
    }
}
