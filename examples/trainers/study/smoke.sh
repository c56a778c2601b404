#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# smoke.sh <python> <build folder> <folder for results>: runs the plan `smoke` in two goes and looks at what it leaves.
set -eu
here=$(dirname "$0")
python=$1 build=$2 out=$3
images=/usr/share/datasets/fashion-mnist
if [ ! -d "$images" ]; then
    echo "skipped: $images is missing; it is in the Debian package dataset-fashion-mnist"
    exit 77
fi
rm -rf "$out"
study() {
    "$python" "$here/study.py" --plan smoke --build "$build" --out "$out" --text /usr/share/common-licenses/GPL-3 "$@"
}
runs=$(study --list | wc -l)
study --family llama --axis dense > /dev/null
first=$(wc -l < "$out/smoke.jsonl")
study
[ "$(wc -l < "$out/smoke.jsonl")" -eq "$runs" ] || { echo "expected $runs lines" >&2; exit 1; }
# A second run repeats no finished training.
head -n "$first" "$out/smoke.jsonl" | grep -c '"axis": "dense"' | grep -qx "$first"
study | grep -q "^$runs runs are done already, 0 to go$"
"$python" "$here/report.py" "$out/smoke.jsonl" > "$out/tables.md"
for word in "block forward" "plain data parallelism" "cosine to the full" "computing, ms per step" "stochastic-depth"; do
    grep -q "$word" "$out/tables.md" || { echo "no '$word' in the tables" >&2; exit 1; }
done
if "$python" -c "import matplotlib" 2> /dev/null; then
    "$python" "$here/report.py" "$out/smoke.jsonl" --plots "$out" > /dev/null
    for plot in coverage memory traffic alignment stragglers; do
        grep -q "</svg>" "$out/$plot-resnet.svg"
    done
else
    echo "no plots: matplotlib is missing (Debian package: python3-matplotlib)"
fi
