// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief One worker's steps without its peers: what they need in memory and time shows on a single process or device.

#include "common/backends/device.hpp"
#include "common/learning/worker.hpp"
#include "common/model/partition.hpp"
#include "common/run/accounts.hpp"
#include "common/run/stop.hpp"

#include <sdp/synchronizer.hpp>

#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

namespace trainer {

/// A member of a group in which everybody else is silent: what is sent is dropped, and what is received is zeros.
class silent_communicator {
public:
    silent_communicator(int rank, int size)
        : rank_(rank)
        , size_(size)
    {
    }
    [[nodiscard]] int rank() const noexcept { return rank_; }
    [[nodiscard]] int size() const noexcept { return size_; }

    struct exchange_done {
        [[nodiscard]] bool test() const noexcept { return true; }
        void wait(std::chrono::milliseconds) const noexcept { }
    };
    exchange_done exchange(sdp::exchange_tag, std::span<const sdp::outgoing>, std::span<const sdp::incoming> receives)
    {
        for (const auto& r : receives)
            std::memset(r.data, 0, r.bytes);
        return {};
    }

private:
    int rank_, size_;
};

[[nodiscard]] inline double median(std::vector<double> x)
{
    const auto middle = x.begin() + static_cast<std::ptrdiff_t>(x.size() / 2);
    std::nth_element(x.begin(), middle, x.end());
    return *middle;
}

/// Trains one worker for the steps of the options, on its own. The report has this worker alone and no losses.
template <sdp::communicator Communicator> run_report rehearse(const job& work, Communicator comm)
{
    using clock = std::chrono::steady_clock;
    const auto& o = work.o;
    const auto& m = work.what->model();
    const chosen_masking masking {o.masking};
    const int rank = comm.rank(), world = comm.size();
    at::set_num_threads(o.threads);

    const auto holders = chosen_partition(o, *work.what)(m, world);
    // Not the composed type, which makes sure that all ranks agree: there is nobody to ask.
    sdp::synchronizer<Communicator> net(m, sdp::residency(m, holders, masking), comm, synchronization(o));
    std::optional<sdp::subnetwork> statistics;
    if (const auto* const s = work.what->statistics())
        statistics.emplace(*s, sdp::residency(*s, holders, masking), rank, sdp::value_layout::split);
    worker me(work, net, statistics ? &*statistics : nullptr, !o.overlap);

    run_report out;
    worker_report mine;
    progress line(method_name(o), o.steps, work.what->item());
    const auto data = work.what->training_data(rank, world);
    std::vector<double> with, without;
    std::chrono::duration<double> total {};
    for (; out.steps < o.steps && !stop_requested(); ++out.steps) {
        // The first two steps allocate what the others use again.
        const bool exchanging = !o.breakdown || out.steps < 2 || out.steps % 2 == 0;
        me.set_exchanging(exchanging);
        const auto start = clock::now();
        const double loss = me.pass(*data, out.steps);
        me.finish();
        me.update(o.learning_rate, 0, mine); // nobody adds to the norm
        me.publish(mine);
        synchronize(o.device);
        const std::chrono::duration<double> time = clock::now() - start;
        if (out.steps >= 2)
            (exchanging ? with : without).push_back(time.count());
        total += time;
        out.items += static_cast<std::uint64_t>(o.batch * work.what->items_per_sample() * o.accumulate);
        out.items_per_second = static_cast<double>(out.items) / total.count();
        line.step(out.steps + 1, loss, out.items_per_second);
    }
    line.finish();
    if (!with.empty() && !without.empty())
        out.step_with_and_without.emplace(median(with), median(without));
    mine.rank = static_cast<std::uint64_t>(rank);
    mine.bytes_sent_formula = formula(o, m, holders, rank, o.masking);
    out.workers = {mine};
    describe(work, holders, world, out);
    return out;
}

} // namespace trainer
