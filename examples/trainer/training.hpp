// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The training loop: with the rehearsal the only part of the program that knows the library's composed type.
///
/// Everything else that costs time to compile is behind `learner` and `task`, so that an instantiation per masking regime
/// and communicator stays cheap.

#include "device.hpp"
#include "learner.hpp"
#include "partition.hpp"
#include "probe.hpp"
#include "run.hpp"
#include "stop.hpp"

#include <sdp/adapters/torch.hpp>
#include <sdp/connectivity.hpp>
#include <sdp/data_parallel.hpp>
#include <sdp/diagnostics.hpp>

#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <span>
#include <vector>

namespace trainer {

[[nodiscard]] inline sdp::synchronizer_options synchronization(const options& o)
{
    sdp::synchronizer_options out;
    out.normalizer = o.normalizer == normalization::holders ? sdp::normalizer::holders : sdp::normalizer::world;
    out.update = o.owner_update ? sdp::update_mode::owner_update : sdp::update_mode::average;
    out.layout = sdp::value_layout::split;
    out.wire = o.wire_format == wire::bf16 ? sdp::wire_format::bf16
        : o.wire_format == wire::f16       ? sdp::wire_format::f16
                                           : sdp::wire_format::as_is;
    return out;
}

/// All workers' reports at every worker.
template <class Net> std::vector<worker_report> gather(Net& net, worker_report mine)
{
    std::vector<worker_report> out(static_cast<std::size_t>(net.world()));
    out[static_cast<std::size_t>(net.rank())] = mine;
    // The others contribute zeros, and a double counts bytes exactly up to 2^53.
    std::vector<double> numbers;
    for (auto& worker : out)
        worker_report::visit(worker, [&](const auto& field) { numbers.push_back(static_cast<double>(field)); });
    net.reduce_scalars(numbers);
    auto next = numbers.begin();
    for (auto& worker : out)
        worker_report::visit(worker, [&](auto& field) { field = static_cast<std::uint64_t>(*next++); });
    return out;
}

/// Bytes that a worker sends per step, by formula.
inline std::uint64_t formula(
    const options& o, const sdp::model& m, const sdp::assignment& holders, int rank, masking_kind masking)
{
    const auto s = synchronization(o);
    return sdp::bytes_per_step(m, sdp::residency(m, holders, chosen_masking {masking}), rank, s.update, s.wire);
}

/// What plain data parallelism would keep and send.
inline void describe_dense(const options& o, const sdp::model& m, int world, run_report& out)
{
    const std::uint64_t state_per_value = o.optimizer == optimizer_kind::adamw ? 8 : o.momentum > 0 ? 4 : 0;
    const auto state = [&](std::uint64_t elements) {
        return state_bytes {4 * elements, 4 * elements, state_per_value * elements};
    };
    auto dense = o;
    dense.owner_update = false;
    out.full_parameters = static_cast<std::uint64_t>(m.size());
    out.maskable_parameters = static_cast<std::uint64_t>(m.maskable_size());
    out.dense = state(out.full_parameters);
    out.dense_maskable = state(out.maskable_parameters);
    for (int rank = 0; rank < world; ++rank)
        out.dense_bytes_sent
            = std::max(out.dense_bytes_sent, formula(dense, m, sdp::pinned {}(m, world), rank, masking_kind::forward));
}

/// Adds up where the time of a worker goes, if asked to.
class stopwatch {
public:
    stopwatch(bool running, compute_device device)
        : running_(running)
        , device_(device)
    {
    }
    /// Adds the time since the last call.
    void lap(std::uint64_t& to)
    {
        if (!running_)
            return;
        synchronize(device_);
        const auto now = clock::now();
        to += static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(now - last_).count());
        last_ = now;
    }

private:
    using clock = std::chrono::steady_clock;
    bool running_;
    compute_device device_;
    clock::time_point last_ = clock::now();
};

/// Statistics of the units, such as a batch norm's: each worker keeps those of what it stores; for an evaluation they are
/// averaged over the workers that train the unit.
template <class Communicator> class shared_statistics {
public:
    shared_statistics(const task& t, const sdp::assignment& holders, chosen_masking masking, Communicator& comm)
        : task_(t)
        , net_(*t.statistics(), known_assignment {&holders}, masking, comm, {.layout = sdp::value_layout::split})
    {
    }
    [[nodiscard]] const sdp::subnetwork& subnetwork() const noexcept { return net_.subnetwork(); }

    void bind(const weights& mine)
    {
        mine_ = &mine;
        for (std::size_t p = 0; p < mine.size(); ++p)
            for (std::size_t i = 0; i < mine[p].size(); ++i)
                net_.bind(sdp::parameter_id(p), mine[p][i].value, i);
    }

    /// Collective. The statistics of the full model at one worker, nothing elsewhere.
    weights assemble(int root)
    {
        // What is averaged is the values themselves, where a synchronizer expects gradients.
        for (std::size_t p = mine_->size(); p-- > 0;)
            if (const auto& parts = (*mine_)[p]; !parts.empty() && parts.front().trained)
                net_.ready(sdp::parameter_id(p), parts.front().value);
        net_.finish();
        auto full = net_.rank() == root ? make_full_weights(*task_.statistics()) : weights();
        for (std::size_t p = 0; p < mine_->size(); ++p)
            net_.assemble(sdp::parameter_id(p), root, net_.rank() == root ? full[p].front().value : at::Tensor());
        return full;
    }

private:
    const task& task_;
    const weights* mine_ = nullptr;
    sdp::data_parallel<known_assignment, chosen_masking, Communicator> net_;
};

/// Forward and backward on all micro-batches of a step. Only the last one's gradients are final. Returns the mean loss.
/// @param pass what does one micro-batch
template <class Net, class Pass> double accumulate(Net& net, const options& o, const data_source& data, int step, Pass pass)
{
    double loss = 0;
    for (int micro = 0; micro < o.accumulate; ++micro) {
        const auto number
            = static_cast<std::uint64_t>(step) * static_cast<std::uint64_t>(o.accumulate) + static_cast<std::uint64_t>(micro);
        const auto batch = data.read(o.batch, number);
        if (micro + 1 < o.accumulate) {
            const auto inner = net.no_sync();
            loss += pass(batch);
        } else {
            loss += pass(batch);
        }
    }
    return loss / o.accumulate;
}

/// Runs one worker from start to end. Collective. The report is complete at rank 0.
template <sdp::communicator Communicator> run_report train(const job& work, Communicator comm)
{
    using clock = std::chrono::steady_clock;
    const auto& o = work.o;
    const auto& what = *work.what;
    const auto& m = what.model();
    const int rank = comm.rank(), world = comm.size();
    const bool reports = rank == 0;
    const chosen_masking masking {o.masking};
    at::set_num_threads(o.threads); // of this worker; one by default: a core each, and sums in one order

    sdp::data_parallel<chosen_partition, chosen_masking, Communicator> net(
        m, chosen_partition(o, what), masking, comm, synchronization(o));
    std::optional<shared_statistics<Communicator>> statistics;
    if (what.statistics() != nullptr)
        statistics.emplace(what, net.holders(), masking, comm);
    const auto owned = net.owned();
    learner me(o, what, net.subnetwork(), statistics ? &statistics->subnetwork() : nullptr,
        o.owner_update ? std::optional(std::span(owned)) : std::nullopt);
    for (std::size_t p = 0; p < me.stored().size(); ++p)
        for (std::size_t i = 0; i < me.stored()[p].size(); ++i)
            net.bind(sdp::parameter_id(p), me.stored()[p][i].value, i);
    if (statistics)
        statistics->bind(me.statistics());
    if (o.owner_update)
        net.read_owned_values(me.owned_values());

    // libtorch runs all backward passes of a CUDA device in one thread of its own. Workers that share a device may not wait
    // for each other in there.
    const bool after_pass = !o.overlap || (o.device == compute_device::cuda && o.comm == backend::threads);
    std::vector<std::pair<sdp::parameter_id, at::Tensor>> waiting;
    const gradient_listener listener(me.stored(), [&](sdp::parameter_id id, const at::Tensor& gradient) {
        me.gradient_is_final(gradient);
        if (after_pass)
            waiting.emplace_back(id, gradient);
        else
            net.ready(id, gradient);
    });
    const auto pass = [&](const batch& b) {
        const double loss = me.pass(b, o.accumulate);
        for (const auto& [id, gradient] : waiting)
            net.ready(id, gradient);
        waiting.clear();
        return loss;
    };

    const auto data = what.training_data(rank, world);
    std::optional<progress> line;
    trace_file trace(reports ? o.trace : std::string());
    if (reports)
        line.emplace(method_name(o), o.steps, what.item());

    run_report out;
    const auto assembled = [&] {
        auto full = reports ? make_full_weights(m) : weights();
        for (std::size_t p = 0; p < m.parameters().size(); ++p)
            net.assemble(sdp::parameter_id(p), 0, reports ? full[p].front().value : at::Tensor());
        return full;
    };
    const auto evaluate = [&](int step, bool probes) {
        const auto full = assembled();
        const auto full_statistics = statistics ? statistics->assemble(0) : weights();
        if (!reports)
            return;
        const auto device = torch_device(o.device);
        out.held_out.emplace_back(step, what.evaluate(to_device(full, device), to_device(full_statistics, device)));
        line->held_out(step, out.held_out.back().second);
        if (probes)
            out.alignments.emplace_back(
                step, probe(o, what, full, full_statistics, world, static_cast<std::uint64_t>(out.alignments.size())));
    };
    const auto every = [&](int interval) { return interval > 0 && out.steps % interval == 0; };

    evaluate(0, o.probe_every > 0);
    worker_report mine;
    std::chrono::duration<double> training {};
    const auto items_per_step
        = static_cast<std::uint64_t>(o.batch * what.items_per_sample()) * static_cast<std::uint64_t>(o.accumulate * world);
    while (out.steps < o.steps && !out.interrupted) {
        const auto start = clock::now();
        stopwatch watch(o.breakdown, o.device);
        double loss = accumulate(net, o, *data, out.steps, pass);
        for (const auto id : me.complete_gradients())
            net.ready(id, me.stored()[sdp::index_of(id)].front().value.grad());
        watch.lap(mine.computing);
        if (o.breakdown) {
            double nothing[1] {}; // a barrier
            net.reduce_scalars(nothing);
            watch.lap(mine.waiting);
        }
        net.finish();
        const double norm = o.clip > 0 ? net.gradient_norm() : 0;
        watch.lap(mine.exchanging);
        if (o.owner_update)
            net.read_owned_gradients(me.owned_gradients());
        me.update(learning_rate(out.steps, o.steps, o.warmup, o.learning_rate), norm);
        me.measure(mine); // while gradients and optimizer state are both live
        me.drop_gradients();
        watch.lap(mine.computing);
        if (o.owner_update)
            net.write_owned_values(me.owned_values());
        net.publish_values();
        watch.lap(mine.exchanging);
        mine.bytes_sent = net.step_traffic().bytes();
        mine.exchange_buffers = net.buffer_bytes();
        ++out.steps;

        std::array scalars {loss, stop_requested() ? 1.0 : 0.0};
        net.reduce_scalars(scalars);
        loss = scalars[0] / world;
        out.interrupted = scalars[1] > 0;
        training += clock::now() - start;
        out.items = items_per_step * static_cast<std::uint64_t>(out.steps);
        if (reports) {
            trace.write(out.steps, loss);
            out.items_per_second = static_cast<double>(out.items) / training.count();
            line->step(out.steps, loss, out.items_per_second);
        }
        // When asked to stop, what was measured last has to do: whoever asks may not wait for more.
        if (!out.interrupted && (out.steps == o.steps || every(o.evaluate_every) || every(o.probe_every)))
            evaluate(out.steps, o.probe_every > 0 && (out.steps == o.steps || every(o.probe_every)));
    }
    if (reports)
        line->finish();
    if (o.sample > 0 && !out.interrupted) {
        const auto full = assembled();
        if (reports)
            out.sample = what.sample(to_device(full, torch_device(o.device)));
    }

    if (o.device == compute_device::cuda && o.comm == backend::threads && world > 1)
        mine.activation_peak = mine.peak = mine.gradients_at_peak = 0; // of the device, not of a worker
    mine.rank = static_cast<std::uint64_t>(rank);
    mine.bytes_sent_formula = formula(o, m, net.holders(), rank, o.masking);
    out.world = world;
    out.item = what.item();
    out.spectral_gap = sdp::spectral_gap(net.holders());
    out.workers = gather(net, mine);
    describe_dense(o, m, world, out);
    return out;
}

} // namespace trainer
