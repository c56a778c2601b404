#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# performance.sh [--quick] <build directory>: runs all measurements of docs/performance.md and fills its tables and its plot.
#
# Every run of a program leaves Google Benchmark's JSON in <build directory>/performance/; performance.py makes docs/results/performance/ and the
# document of them. With --quick runs are few and small and fill a copy, <build directory>/performance-quick/docs/performance.md: that
# shows that everything runs, and measures nothing.
set -eu

quick=""
if [ "${1:-}" = "--quick" ]; then
    quick=yes
    shift
fi
[ $# = 1 ] || { echo "usage: performance.sh [--quick] <build directory>" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$1" && pwd)
programs=$build/benchmarks
docs=$here/../docs
json=$build/performance${quick:+-quick}
rm -rf "$json"
mkdir -p "$json"
if [ -n "$quick" ]; then
    mkdir -p "$json/docs"
    cp "$docs/performance.md" "$json/docs/"
    docs=$json/docs
fi
mkdir -p "$docs/results/performance"

# As in cmake/sdpTesting.cmake, where the reasons are.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,vader

runs="1 2 3"
short=101 # rounds of settings that take less than a millisecond or a few
normal=15
long=7
sizes="4M,16M"
larger="64M"
largest=256M
middle=16M
large=64M
scale=4
backward_size="--bytes 64M"
kernel_size=16M
if [ -n "$quick" ]; then
    runs=1 short=2 normal=2 long=2
    sizes=1M larger=2M largest=2M middle=1M large=4M scale=32
    backward_size="--bytes 4M"
    kernel_size=4M
fi

# A program's output is shown; its measurements are written to a file of their own. file <what> names the next one.
number=100
file() {
    number=$((number + 1))
    printf -- '--benchmark_out=%s' "$json/$1-$number.json"
}
shown="--benchmark_display_aggregates_only=true"
threads() {
    rounds=$1
    shift
    "$programs/overlap_bench" --workers 8 --benchmark_repetitions="$rounds" $shown "$(file overlap)" "$@"
    number=$((number + 1))
}
mpi() {
    workers=$1
    rounds=$2
    shift 2
    mpirun -n "$workers" "$programs/overlap_bench" --backend mpi --benchmark_repetitions="$rounds" $shown "$(file overlap)" "$@"
    number=$((number + 1))
}
hidden() {
    "$programs/backward_bench" $backward_size --benchmark_repetitions=5 $shown "$(file backward)" "$@"
    number=$((number + 1))
}

# $backward_size is a list of words, to be split.
# shellcheck disable=SC2086
for run in $runs; do
    # The settings of the bounds, in every run.
    mpi 8 $normal --holders 2,4,8,mixed --bytes $middle --run-bytes 4K
    mpi 8 $short --holders 2,4 --bytes 1M --run-bytes 4K
    mpi 8 $long --holders 2,4 --bytes $large --run-bytes 64K
    mpi 4 $normal --holders 2 --bytes $middle --run-bytes 4K
    mpi 4 $long --holders 2 --bytes $large --run-bytes 64K
    threads $normal --holders 2,4,8 --bytes $middle --run-bytes 4,256,4K
    for workers in 2 3 4; do
        hidden --workers $workers --holders 2 --bucket-bytes 1M,4M
    done
    hidden --workers 4 --holders 4 --bucket-bytes 1M,4M
    [ "$run" = 1 ] || continue
    # The settings of tables and the plot alone, once.
    mpi 8 $short --holders 2,4,8,mixed --bytes 64K --run-bytes 256
    mpi 8 $normal --holders 2,4,8,mixed --bytes $sizes --run-bytes 4K
    mpi 8 $long --holders 2,4,8,mixed --bytes $larger --run-bytes 4K
    mpi 8 $long --holders 2,4 --bytes $largest --run-bytes 4K
    mpi 8 $normal --holders 2,4,mixed --bytes $middle --run-bytes 4,256,64K
    [ -n "$quick" ] || mpi 8 $long --holders 4 --bytes 256M --run-bytes 64K
    mpi 8 $long --holders 2,4 --layout llama-130m-neuron --scale $scale
    mpi 8 $long --holders 2,4 --layout llama-130m-block --scale $scale
    threads $short --holders 2,4,8,mixed --bytes 64K --run-bytes 256
    threads $short --holders 2,4,8,mixed --bytes 1M --run-bytes 4K
    threads $normal --holders 2,4,8,mixed --bytes $sizes --run-bytes 4K
    threads $long --holders 2,4,8,mixed --bytes $larger --run-bytes 4K
    threads $long --holders 2,4 --bytes $largest --run-bytes 4K
    threads $long --holders 2,4 --layout llama-130m-neuron --scale $scale
    hidden --workers 4 --holders 2
    hidden --workers 2 --holders 2 --compute processor
    # Two processes on two cores: giving the core away when nothing has arrived would only add the operating system's time.
    OMPI_MCA_mpi_yield_when_idle=0 mpirun -n 2 "$programs/backward_bench" --backend mpi $backward_size --bucket-bytes 1M,4M \
        --benchmark_repetitions=5 $shown "$(file backward)"
    number=$((number + 1))
    "$programs/kernel_bench" --bytes $kernel_size --benchmark_repetitions=$normal $shown "$(file kernels)"
    number=$((number + 1))
    if [ -n "$quick" ]; then
        "$programs/plan_bench" --runs 20000 --layers 2 --workers 64 --benchmark_repetitions=1 "$(file plan)"
    else
        "$programs/plan_bench" $shown "$(file plan)"
    fi
done

"$here/performance.py" "$json" "$docs"
echo "filled $docs/performance.md"
