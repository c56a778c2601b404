// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The training loop: the only part of the program that knows the library's composed type.
///
/// Everything that costs time to compile is behind `learner` and `evaluator`, so that an instantiation per masking regime
/// and communicator stays cheap.

#include "evaluation.hpp"
#include "job.hpp"
#include "learner.hpp"
#include "partition.hpp"
#include "stop.hpp"

#include <sdp/adapters/torch.hpp>
#include <sdp/data_parallel.hpp>
#include <sdp/diagnostics.hpp>
#include <sdp/masking/backward.hpp>
#include <sdp/masking/forward.hpp>

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
template <class Masking>
std::uint64_t formula(
    const llama_description& d, const sdp::assignment& holders, Masking masking, int rank, sdp::update_mode update)
{
    return sdp::bytes_per_step(d.model, sdp::residency(d.model, holders, masking), rank, update);
}

/// What plain data parallelism would keep and send.
inline void describe_dense(const llama_description& d, int world, run_report& out)
{
    const auto state = [](std::uint64_t elements) { return state_bytes {4 * elements, 4 * elements, 8 * elements}; };
    out.full_parameters = static_cast<std::uint64_t>(d.model.size());
    out.maskable_parameters = static_cast<std::uint64_t>(d.model.maskable_size());
    out.dense = state(out.full_parameters);
    out.dense_maskable = state(out.maskable_parameters);
    for (int rank = 0; rank < world; ++rank)
        out.dense_bytes_sent = std::max(out.dense_bytes_sent,
            formula(d, sdp::pinned {}(d.model, world), sdp::forward_masking {}, rank, sdp::update_mode::average));
}

/// Runs one worker from start to end. Collective. The report is complete at rank 0.
template <sdp::masking_regime Masking, sdp::communicator Communicator>
run_report train(const job& work, Masking masking, Communicator comm)
{
    using clock = std::chrono::steady_clock;
    const auto& o = work.o;
    const int rank = comm.rank();
    const bool reports = rank == 0;
    at::set_num_threads(1); // of this worker: one core each, and sums in one order

    const auto d = describe(o.shape);
    sdp::data_parallel<chosen_partition, Masking, Communicator> net(
        d.model, chosen_partition(o), masking, comm, synchronization(o));
    const auto owned = net.owned();
    learner me(o, d, net.subnetwork(), o.owner_update ? std::optional(std::span(owned)) : std::nullopt);
    for (std::size_t p = 0; p < me.stored().size(); ++p)
        for (std::size_t i = 0; i < me.stored()[p].size(); ++i)
            net.bind(sdp::parameter_id(p), me.stored()[p][i].value, i);
    if (o.owner_update)
        net.read_owned_values(me.owned_values());
    const gradient_listener listener(
        me.stored(), [&](sdp::parameter_id id, const at::Tensor& gradient) { net.ready(id, gradient); });

    const shard data(*work.data, rank, comm.size(), o.shape.sequence, o.seed);
    std::optional<evaluator> judge;
    std::optional<progress> line;
    trace_file trace(reports ? o.trace : std::string());
    if (reports) {
        judge.emplace(o, d, *work.data);
        line.emplace(method_name(o), o.steps);
    }

    run_report out;
    const auto assembled = [&] {
        auto full = reports ? make_full_weights(d) : weights();
        for (std::size_t p = 0; p < d.model.parameters().size(); ++p)
            net.assemble(sdp::parameter_id(p), 0, reports ? full[p].front().value : at::Tensor());
        return full;
    };
    const auto evaluate = [&](int step) {
        const auto full = assembled();
        if (reports) {
            out.held_out.emplace_back(step, judge->loss(full));
            line->held_out(step, out.held_out.back().second);
        }
    };

    evaluate(0);
    worker_report mine;
    std::chrono::duration<double> training {};
    const double tokens_per_step = static_cast<double>(o.batch * o.shape.sequence) * o.accumulate * comm.size();
    while (out.steps < o.steps && !out.interrupted) {
        const auto start = clock::now();
        double loss = 0;
        for (int micro = 0; micro < o.accumulate; ++micro) {
            const auto number = static_cast<std::uint64_t>(out.steps) * static_cast<std::uint64_t>(o.accumulate)
                + static_cast<std::uint64_t>(micro);
            const auto batch = data.read(o.batch, number);
            if (micro + 1 < o.accumulate) {
                const auto inner = net.no_sync();
                loss += me.pass(batch, o.accumulate);
            } else {
                loss += me.pass(batch, o.accumulate);
            }
        }
        for (const auto id : me.complete_gradients())
            net.ready(id, me.stored()[sdp::index_of(id)].front().value.grad());
        net.finish();
        const double norm = net.gradient_norm();
        if (o.owner_update)
            net.read_owned_gradients(me.owned_gradients());
        me.update(learning_rate(out.steps, o.steps, o.warmup, o.learning_rate), norm);
        me.measure(mine); // while gradients and optimizer state are both live
        me.drop_gradients();
        if (o.owner_update)
            net.write_owned_values(me.owned_values());
        net.publish_values();
        mine.bytes_sent = net.step_traffic().bytes();
        mine.exchange_buffers = net.buffer_bytes();
        ++out.steps;

        std::array scalars {loss / o.accumulate, stop_requested() ? 1.0 : 0.0};
        net.reduce_scalars(scalars);
        loss = scalars[0] / comm.size();
        out.interrupted = scalars[1] > 0;
        training += clock::now() - start;
        if (reports) {
            trace.write(out.steps, loss);
            out.tokens_per_second = tokens_per_step * out.steps / training.count();
            line->step(out.steps, loss, out.tokens_per_second);
        }
        // When asked to stop, what was measured last has to do: whoever asks may not wait for more.
        if (!out.interrupted && (out.steps == o.steps || (o.evaluate_every > 0 && out.steps % o.evaluate_every == 0)))
            evaluate(out.steps);
    }
    if (reports)
        line->finish();
    if (o.sample > 0 && !out.interrupted) {
        const auto full = assembled();
        if (reports)
            out.sample = judge->sample(full, o.sample, o.seed);
    }

    mine.bytes_sent_formula = formula(d, net.holders(), masking, rank, synchronization(o).update);
    out.workers = gather(net, mine);
    describe_dense(d, comm.size(), out);
    return out;
}

/// The same with the regime that the options name.
template <sdp::communicator Communicator> run_report train(const job& work, Communicator comm)
{
    if (work.o.masking == masking_kind::backward)
        return train(work, sdp::backward_masking {}, comm);
    return train(work, sdp::forward_masking {}, comm);
}

} // namespace trainer
