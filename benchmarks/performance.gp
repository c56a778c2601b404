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

# Four routes for k = 2, then the same four for k = 4.
array colours[4] = ["#08519c", "#238b45", "#d94801", "#6a51a3"]
plot 1 with lines linecolor "#999999" dashtype 2 title "MPI\\_Allreduce", \
     for [i = 0:7] data index i using 1:2 with linespoints linewidth 2 pointtype (i < 4 ? 7 : 6) \
         dashtype (i < 4 ? 1 : 3) linecolor rgb colours[i % 4 + 1] title columnheader(1)
