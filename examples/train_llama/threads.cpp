// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "job.hpp"
#include "training.hpp"

#include <sdp/comm/threads.hpp>

namespace trainer {

int train_on_threads(int argc, char** argv)
{
    try {
        const auto work = prepare(argc, argv, 0);
        run_report result;
        sdp::run_workers(work.o.workers, [&](sdp::thread_communicator comm) {
            auto mine = train(work, comm);
            if (comm.rank() == 0)
                result = std::move(mine);
        });
        publish(work.o, result);
        return 0;
    } catch (...) {
        return report(outcome_of(std::current_exception()));
    }
}

} // namespace trainer
