// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "bench.hpp"

namespace backward_bench {

void run_mpi(const options&, int, char**)
{
    throw std::invalid_argument("this backward_bench was built without MPI; expected --backend threads");
}

} // namespace backward_bench
