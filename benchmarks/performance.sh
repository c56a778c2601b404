#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# performance.sh [--quick] <build directory>: runs all measurements of docs/performance.md and fills its tables and its plot.
#
# Results go to docs/results/, one object per line, and from there into the document. With --quick they are few and small and
# go, with a copy of the document, to <build directory>/performance: that shows that everything runs, and measures nothing.
set -eu

quick=""
if [ "${1:-}" = "--quick" ]; then
    quick=yes
    shift
fi
[ $# = 1 ] || { echo "usage: performance.sh [--quick] <build directory>" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
programs=$(cd "$1" && pwd)/benchmarks
docs=$here/../docs
if [ -n "$quick" ]; then
    mkdir -p "$1/performance"
    cp "$docs/performance.md" "$1/performance/"
    docs=$1/performance
fi
mkdir -p "$docs/results"
overlap=$docs/results/overlap.jsonl
backward=$docs/results/backward.jsonl
plan=$docs/results/plan.jsonl
: >"$overlap"
: >"$backward"
rm -f "$plan"

# As in cmake/sdpTesting.cmake, where the reasons are.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,vader

runs="1 2 3"
limits="--seconds 30"
sizes="1M,4M,16M,64M"
largest=256M
middle=16M
large=64M
scale=4
backward_size="--bytes 64M --rounds 5"
if [ -n "$quick" ]; then
    runs=1
    limits="--rounds 1 --seconds 1"
    sizes=1M
    largest=2M
    middle=1M
    large=4M
    scale=32
    backward_size="--bytes 4M --rounds 1"
fi

threads() { "$programs/overlap_bench" --backend threads --workers 8 $limits --json "$overlap" "$@"; }
mpi() {
    workers=$1
    shift
    mpirun -n "$workers" "$programs/overlap_bench" --backend mpi $limits --json "$overlap" "$@"
}
hidden() { "$programs/backward_bench" $backward_size --json "$backward" "$@"; }

# $limits and $backward_size are lists of words, to be split.
# shellcheck disable=SC2086
for run in $runs; do
    # What the bounds are about, in every run.
    mpi 8 --holders 2,4,8,mixed --bytes $middle --run-bytes 4096
    mpi 8 --holders 2,4 --bytes 1M --run-bytes 4096
    mpi 8 --holders 2,4 --bytes $large --run-bytes 64K
    mpi 4 --holders 2 --bytes $middle --run-bytes 4096
    mpi 4 --holders 2 --bytes $large --run-bytes 64K
    threads --holders 2,4,8 --bytes $middle --run-bytes 4,256,4096
    for workers in 2 3 4; do
        hidden --workers $workers --holders 2 --bucket-bytes 1M,4M
    done
    hidden --workers 4 --holders 4 --bucket-bytes 1M,4M
    [ "$run" = 1 ] || continue
    # What only fills tables and the plot, once.
    mpi 8 --holders 2,4,8,mixed --bytes 64K --run-bytes 256
    mpi 8 --holders 2,4,8,mixed --bytes $sizes --run-bytes 4096
    mpi 8 --holders 2,4 --bytes $largest --run-bytes 4096
    mpi 8 --holders 2,4,mixed --bytes $middle --run-bytes 4,256,64K
    [ -n "$quick" ] || mpi 8 --holders 4 --bytes 256M --run-bytes 64K
    mpi 8 --holders 2,4 --layout llama-130m-neuron --scale $scale
    mpi 8 --holders 2,4 --layout llama-130m-block --scale $scale
    threads --holders 2,4,8,mixed --bytes 64K --run-bytes 256
    threads --holders 2,4,8,mixed --bytes $sizes --run-bytes 4096
    threads --holders 2,4 --bytes $largest --run-bytes 4096
    threads --holders 2,4 --layout llama-130m-neuron --scale $scale
    hidden --workers 4 --holders 2
    hidden --workers 2 --holders 2 --compute work
    # Two processes on two cores: giving the core away when nothing has arrived would only add the operating system's time.
    OMPI_MCA_mpi_yield_when_idle=0 mpirun -n 2 "$programs/backward_bench" --backend mpi $backward_size --json "$backward" \
        --bucket-bytes 1M,4M
    if [ -x "$programs/plan_bench" ]; then
        if [ -n "$quick" ]; then
            "$programs/plan_bench" --json "$plan" --runs 20000 --layers 2 --workers 64 --rounds 1
        else
            "$programs/plan_bench" --json "$plan"
        fi
    fi
done

"$here/performance.py" "$docs"
