// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief Times the overlap exchange beside what one would use without it.
///
/// `overlap_bench --workers 8 --holders 2,4,8 --bytes 1M,16M --run-bytes 256,4K`
/// `mpirun -n 8 overlap_bench --backend mpi --holders 2,4 --benchmark_filter='dense|window' --benchmark_out=window.json`
/// `mpirun -n 8 overlap_bench --backend mpi --layout llama-130m-neuron --scale 4 --holders 2,4`
///
/// A benchmark is named `backend/layout/N:…/k:…/model:…/run:…/contender`:
///
/// | contender                | meaning                                                                                   |
/// |--------------------------|-------------------------------------------------------------------------------------------|
/// | `dense`                  | MPI_Allreduce of everything, in place; on threads a sum through shared memory             |
/// | ours, see `our_routes`   | gradients that become means, as they lie in a worker's compact tensors                    |
/// | `iallreduce`, `allreduce`| one all-reduce per set of holders, on contiguous buffers, all at once or in turn          |
/// | `gloo`                   | the faster all-reduce of gloo over everything, TCP on the loopback device                  |
/// | `memcpy`                 | one copy of what a worker holds                                                           |
///
/// | counter                  | meaning                                                                                   |
/// |--------------------------|-------------------------------------------------------------------------------------------|
/// | `bytes`, `held_bytes`    | of the whole model, and of a worker's share, mean                                         |
/// | `to_dense`               | time over that of `dense` in the same round; 0 if `dense` was filtered out                |
/// | `busbw_GB/s`             | 2(k−1)/k times the bytes a worker holds, over the time, as nccl-tests define it           |
/// | `sent_max`, `sent_mean`  | bytes that the busiest worker sends in a step, and the mean, by the library's counters    |
/// | `sent_bound`, `bytes_off`| the formula's for the busiest, and what all workers together are off it                   |
/// | `sets`, `matrices`       | sets of holders of a synthetic layout, and parameters of the model                        |
/// | `wrong`                  | wrong elements, all workers together; any is an error and the program's failure           |

#include "backends.hpp"

#include <benchmark/benchmark.h>

int main(int argc, char** argv)
{
    return bench::guarded("overlap_bench", [&] {
        bench::program program("Times the overlap exchange beside all-reduces.", 11);
        overlap_bench::options o;
        o.add_to(program.flags());
        program.parse(argc, argv);
        benchmark::SetDefaultTimeUnit(benchmark::kMillisecond);
        return o.backend == "mpi" ? overlap_bench::run_mpi(o, program) : overlap_bench::run_threads(o, program);
    });
}
