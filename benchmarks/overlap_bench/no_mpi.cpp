// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "backends.hpp"

#include <stdexcept>

namespace overlap_bench {

int run_mpi(const options&, bench::program&)
{
    throw std::invalid_argument("this overlap_bench was built without MPI; expected --backend threads");
}

} // namespace overlap_bench
