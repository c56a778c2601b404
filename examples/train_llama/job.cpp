// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "job.hpp"
#include "llama.hpp"
#include "partition.hpp"

#include <fstream>
#include <iostream>

namespace trainer {

job prepare(int argc, char** argv, int workers)
{
    job out {parse(argc, argv), nullptr};
    auto& o = out.o;
    if (o.workers == 0)
        o.workers = workers > 0 ? workers : 4;
    if (workers > 0 && o.workers != workers)
        sdp::detail::fail<usage_error>("--workers ", o.workers, " differs from the number of MPI ranks, ", workers);
    // What cannot be written is better found before the training than after it.
    if (!o.summary.empty() && !std::ofstream(o.summary, std::ios::app))
        sdp::detail::fail("cannot write the summary to '", o.summary, "'");
    (void)chosen_partition(o)(describe(o.shape).model, o.workers);
    out.data = std::make_shared<text>(o.data);
    for (int rank = 0; rank < o.workers; ++rank)
        (void)shard(*out.data, rank, o.workers, o.shape.sequence, o.seed);
    if (out.data->held_out().size() <= static_cast<std::size_t>(o.shape.sequence))
        sdp::detail::fail("the held-out twentieth of '", o.data, "' has ", out.data->held_out().size(), " bytes; a sequence of ",
            o.shape.sequence, " needs ", o.shape.sequence + 1);
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

int report(const outcome& result)
{
    if (result.code == 0)
        std::cout << result.message << std::flush;
    else
        std::cerr << "train_llama: " << result.message << std::endl;
    return result.code;
}

void publish(const options& o, const run_report& r)
{
    if (!r.sample.empty())
        std::cout << r.sample << std::endl;
    if (!o.summary.empty())
        write_summary(o.summary, o, r);
}

} // namespace trainer
