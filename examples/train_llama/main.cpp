// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "job.hpp"
#include "memory.hpp"
#include "stop.hpp"

int main(int argc, char** argv)
{
    trainer::install_memory_meters();
    trainer::catch_stop_signals();
    return trainer::asks_for_mpi(argc, argv) ? trainer::train_on_mpi(argc, argv) : trainer::train_on_threads(argc, argv);
}
