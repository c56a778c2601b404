// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "common/run/run.hpp"
#include "common/backends/device.hpp"
#include "common/backends/memory.hpp"
#include "common/model/partition.hpp"
#include "common/run/stop.hpp"
#include "common/settings/sentence.hpp"

#include <fstream>
#include <iostream>

namespace trainer {

job prepare(int argc, char** argv, program& p, int workers)
{
    job out {parse(argc, argv, p), nullptr};
    auto& o = out.o;
    if (o.workers == 0)
        o.workers = workers > 0 ? workers : 4;
    if (workers > 0 && o.workers != workers)
        fail<usage_error>("--workers ", o.workers, " differs from the number of MPI ranks, ", workers);
    if (o.rank >= o.workers)
        fail<usage_error>("--rank ", o.rank, " is not one of ", o.workers, " workers");
    require_device(o.device);
    // A file that cannot be written should fail before the training, not after it.
    if (!o.summary.empty() && !std::ofstream(o.summary, std::ios::app))
        fail("cannot write the summary to '", o.summary, "'");
    out.what = p.load(o);
    (void)chosen_partition(o, *out.what)(out.what->model(), o.workers);
    for (int rank = 0; rank < o.workers; ++rank)
        (void)out.what->training_data(rank, o.workers);
    return out;
}

outcome outcome_of(const std::exception_ptr& thrown)
{
    try {
        std::rethrow_exception(thrown);
    } catch (const help_request& e) {
        return {0, e.what()};
    } catch (const usage_error& e) {
        return {2, e.what()};
    } catch (const std::exception& e) {
        return {1, e.what()};
    }
}

int report(const std::string& name, const outcome& result)
{
    if (result.code == 0)
        std::cout << result.message << std::flush;
    else
        std::cerr << name << ": " << result.message << std::endl;
    return result.code;
}

void publish(const options& o, const run_report& r)
{
    if (!r.sample.empty())
        std::cout << r.sample << std::endl;
    if (!o.summary.empty())
        write_summary(o.summary, o, r);
}

int run(int argc, char** argv, program& p)
{
    install_memory_meters();
    catch_stop_signals();
    if (asks_for_mpi(argc, argv))
        return run_on_mpi(argc, argv, p);
    try {
        const auto work = prepare(argc, argv, p, 0);
        const bool device = work.o.device == compute_device::cuda;
        const auto train = work.o.memory_only ? (device ? rehearse_on_device : rehearse)
            : work.o.comm == backend::nccl    ? train_on_nccl
            : device                          ? train_on_device_threads
                                              : train_on_threads;
        const auto result = train(work);
        if (work.o.comm != backend::nccl || work.o.rank == 0)
            publish(work.o, result);
        return 0;
    } catch (...) {
        return report(p.name(), outcome_of(std::current_exception()));
    }
}

} // namespace trainer
