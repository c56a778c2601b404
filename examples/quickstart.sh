#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Trains the same small LLaMA on the same text twice, with plain data parallelism and with Subnetwork Data Parallelism,
# and compares the two. Options given here go to both runs, for example: examples/quickstart.sh --steps 1000
set -eu

cd "$(dirname "$0")/.."
out=build/quickstart
dictionary=/usr/share/dictd/gcide.dict.dz

cmake --preset release
cmake --build --preset release --target train_llama compare_runs
mkdir -p "$out"
if [ ! -s "$out/gcide.txt" ]; then
    if [ ! -r "$dictionary" ]; then
        echo "quickstart.sh: $dictionary is missing; it is in the Debian package dict-gcide" >&2
        exit 1
    fi
    zcat "$dictionary" > "$out/gcide.txt.part"
    mv "$out/gcide.txt.part" "$out/gcide.txt"
fi

# train <name> <options...>: leaves <name>.json, <name>.trace and <name>.txt.
train() {
    name=$1
    shift
    build/release/examples/train_llama --data "$out/gcide.txt" --workers 4 --comm threads --steps 300 --batch 8 \
        --eval-every 50 --eval-batches 4 --sample 400 --trace "$out/$name.trace" --summary "$out/$name.json" "$@" > "$out/$name.txt"
}

echo "Training with 4 workers: plain data parallelism, then each residual branch on 2 of the 4."
train dense --partition none "$@"
train sdp --partition block --masking forward --coverage 0.5 "$@"

echo
build/release/examples/compare_runs "$out/dense.json" "$out/sdp.json" \
    --traces "$out/dense.trace" "$out/sdp.trace" --curves "$out/curves.csv"
if command -v gnuplot > /dev/null; then
    gnuplot -e "csv = '$out/curves.csv'; svg = '$out/curves.svg'" examples/curves.gp
else
    echo "quickstart.sh: no picture of the curves: gnuplot was not found (Debian package: gnuplot-nox)" >&2
fi

echo
echo "What the model that was trained in parts writes:"
cat "$out/sdp.txt"
echo
echo "Summaries, curves and samples are in $out: dense.json sdp.json curves.csv curves.svg dense.txt sdp.txt"
