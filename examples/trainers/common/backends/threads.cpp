// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "common/run/run.hpp"
#include "common/run/training.hpp"

#include <sdp/comm/threads.hpp>

namespace trainer {

run_report train_on_threads(const job& work)
{
    run_report result;
    sdp::run_workers(work.o.workers, [&](sdp::thread_communicator comm) {
        auto mine = train(work, comm);
        if (comm.rank() == 0)
            result = std::move(mine);
    });
    return result;
}

} // namespace trainer
