// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "common/run/run.hpp"

namespace trainer {

int run_on_mpi(int, char**, program& p)
{
    return report(p.name(), {2, "--comm mpi: this program was built where neither MPI nor Boost.MPI was found"});
}

} // namespace trainer
