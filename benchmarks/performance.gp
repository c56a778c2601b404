# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Draws times over the dense all-reduce's by model size: gnuplot -e "data = '…'; svg = '…'" performance.gp

set terminal svg size 900,560 dynamic background "white" font "sans-serif,14"
set output svg
set logscale x 2
set logscale y 2
set xlabel "model, MiB"
set ylabel "time / MPI\\_Allreduce of everything"
set key outside right
set grid linecolor "#dddddd"
set border 3
set tics nomirror

# Four routes for k = 2, then the same four, dotted, for k = 4.
do for [k = 0:1] {
    do for [i = 1:4] {
        set style line 4 * k + i linewidth 2 dashtype 2 * k + 1 pointtype 7 - k linecolor rgb \
            word("#08519c #238b45 #d94801 #6a51a3", i)
    }
}
plot 1 with lines linecolor rgb "#999999" dashtype 2 title "MPI\\_Allreduce", \
     for [i = 0:7] data index i using 1:2 with linespoints linestyle i + 1 title columnheader(1)
