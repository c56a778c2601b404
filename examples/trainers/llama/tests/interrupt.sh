#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# interrupt.sh <file> <command...>: runs the command, interrupts it once the file has content, and ends with its status.
# Waiting for a fixed time instead would interrupt a program that a loaded machine has not yet started.
file=$1
shift
"$@" &
process=$!
while [ ! -s "$file" ]; do
    kill -0 "$process" || exit 9
    sleep 0.1
done
kill -INT "$process"
wait "$process"
