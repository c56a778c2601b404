// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "common/run/rehearsal.hpp"

namespace trainer {

run_report rehearse(const job& work)
{
    return rehearse(work, silent_communicator(work.o.rank, work.o.workers));
}

} // namespace trainer
