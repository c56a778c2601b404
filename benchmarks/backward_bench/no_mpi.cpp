// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "bench.hpp"

#include <stdexcept>

namespace backward_bench {

int run_mpi(const options&, bench::program&)
{
    throw std::invalid_argument("this backward_bench was built without MPI; expected --backend threads");
}

} // namespace backward_bench
