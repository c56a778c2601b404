# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Draws the loss curves of two runs from what compare_runs wrote.
# gnuplot -e "csv = 'curves.csv'; svg = 'curves.svg'" curves.gp

set terminal svg size 900,560 dynamic background "white" font "sans-serif,14"
set output svg
set datafile separator ","
set key autotitle columnhead top right
set xlabel "step"
set ylabel "loss, nats per byte"
set grid linecolor "#dddddd"
set border 3
set tics nomirror

# Training losses are those of the workers' own models; held-out losses are those of the assembled full model.
plot csv using 1:2 with lines linewidth 1 linecolor "#9ecae1", \
     csv using 1:3 with lines linewidth 1 linecolor "#fdbe85", \
     csv using 1:4 with linespoints linewidth 2 pointtype 7 linecolor "#08519c", \
     csv using 1:5 with linespoints linewidth 2 pointtype 7 linecolor "#d94801"
