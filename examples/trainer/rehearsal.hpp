// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief One worker's steps without its peers: what they need in memory and time shows on a single process or device.

#include "training.hpp"

#include <cstring>
#include <utility>

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
    const auto& o = work.o;
    const auto& what = *work.what;
    const auto& m = what.model();
    const int rank = comm.rank(), world = comm.size();
    at::set_num_threads(o.threads);

    const auto holders = chosen_partition(o, what)(m, world);
    const sdp::residency residents(m, holders, chosen_masking {o.masking});
    // Not the composed type, which makes sure that all ranks agree: there is nobody to ask.
    sdp::synchronizer<Communicator> net(m, residents, comm, synchronization(o));
    const auto* const s = what.statistics();
    const auto statistics = s == nullptr
        ? std::optional<sdp::subnetwork>()
        : std::optional<sdp::subnetwork>(
            std::in_place, *s, sdp::residency(*s, holders, chosen_masking {o.masking}), rank, sdp::value_layout::split);
    const auto owned = net.owned();
    learner me(o, what, net.subnetwork(), statistics ? &*statistics : nullptr,
        o.owner_update ? std::optional(std::span(owned)) : std::nullopt);
    for (std::size_t p = 0; p < me.stored().size(); ++p)
        for (std::size_t i = 0; i < me.stored()[p].size(); ++i)
            net.bind(sdp::parameter_id(p), me.stored()[p][i].value, i);
    if (o.owner_update)
        net.read_owned_values(me.owned_values());
    bool exchanging = true;
    std::vector<std::pair<sdp::parameter_id, at::Tensor>> waiting;
    const gradient_listener listener(me.stored(), [&](sdp::parameter_id id, const at::Tensor& gradient) {
        me.gradient_is_final(gradient);
        if (exchanging && o.overlap)
            net.ready(id, gradient);
        else if (exchanging)
            waiting.emplace_back(id, gradient);
    });
    const auto pass = [&](const batch& b) {
        const double loss = me.pass(b, o.accumulate);
        for (const auto& [id, gradient] : waiting)
            net.ready(id, gradient);
        waiting.clear();
        return loss;
    };

    run_report out;
    worker_report mine;
    progress line(method_name(o), o.steps, what.item());
    const auto data = what.training_data(rank, world);
    std::vector<double> with, without;
    double training = 0;
    for (; out.steps < o.steps && !stop_requested(); ++out.steps) {
        // The first two steps allocate what the others use again.
        exchanging = !o.breakdown || out.steps < 2 || out.steps % 2 == 0;
        const auto start = std::chrono::steady_clock::now();
        const double loss = accumulate(net, o, *data, out.steps, pass);
        for (const auto id : me.complete_gradients())
            if (exchanging)
                net.ready(id, me.stored()[sdp::index_of(id)].front().value.grad());
        if (exchanging)
            net.finish();
        if (o.owner_update)
            net.read_owned_gradients(me.owned_gradients());
        me.update(o.learning_rate, 0); // nobody adds to the norm
        me.measure(mine);
        me.drop_gradients();
        if (o.owner_update)
            net.write_owned_values(me.owned_values());
        if (exchanging) {
            net.publish_values();
            mine.bytes_sent = net.step_traffic().bytes();
            mine.exchange_buffers = net.buffer_bytes();
        }
        synchronize(o.device);
        const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        if (out.steps >= 2)
            (exchanging ? with : without).push_back(seconds);
        training += seconds;
        out.items += static_cast<std::uint64_t>(o.batch * what.items_per_sample() * o.accumulate);
        out.items_per_second = static_cast<double>(out.items) / training;
        line.step(out.steps + 1, loss, out.items_per_second);
    }
    line.finish();
    if (!with.empty() && !without.empty())
        out.step_with_and_without.emplace(median(with), median(without));
    mine.rank = static_cast<std::uint64_t>(rank);
    mine.bytes_sent_formula = formula(o, m, holders, rank, o.masking);
    out.world = world;
    out.item = what.item();
    out.spectral_gap = sdp::spectral_gap(holders);
    out.workers = {mine};
    describe_dense(o, m, world, out);
    return out;
}

} // namespace trainer
