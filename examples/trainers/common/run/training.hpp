// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The training loop: with the rehearsal the only part of the program that knows the library's composed type.
///
/// Everything else that costs time to compile is behind `learner` and `task`, so that an instantiation per communicator stays
/// cheap.

#include "common/backends/device.hpp"
#include "common/learning/probe.hpp"
#include "common/learning/shared_statistics.hpp"
#include "common/learning/worker.hpp"
#include "common/model/partition.hpp"
#include "common/run/accounts.hpp"
#include "common/run/stop.hpp"

#include <sdp/data_parallel.hpp>

#include <ATen/Parallel.h>

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <vector>

namespace trainer {

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

/// One worker from start to end.
template <sdp::communicator Communicator> class training {
public:
    /// Collective.
    training(const job& work, Communicator& comm)
        : work_(work)
        , net_(work.what->model(), chosen_partition(work.o, *work.what), {work.o.masking}, comm, synchronization(work.o))
        , worker_(work, net_, share_statistics(comm), after_pass())
        , data_(work.what->training_data(net_.rank(), net_.world()))
        , trace_(reports() ? work.o.trace : std::string())
    {
        if (statistics_)
            statistics_->bind(worker_.learned().statistics());
        if (reports())
            line_.emplace(method_name(work.o), work.o.steps, work.what->item());
    }

    /// Collective. The report is complete at rank 0.
    run_report run()
    {
        const auto& o = work_.o;
        const auto every = [&](int interval) { return interval > 0 && out_.steps % interval == 0; };
        evaluate(o.probe_every > 0);
        while (out_.steps < o.steps && !out_.interrupted) {
            step();
            // A stopped run reports its last measurement: the sender of the signal may not wait for another.
            const bool last = out_.steps == o.steps;
            if (!out_.interrupted && (last || every(o.evaluate_every) || every(o.probe_every)))
                evaluate(o.probe_every > 0 && (last || every(o.probe_every)));
        }
        if (reports())
            line_->finish();
        if (o.sample > 0 && !out_.interrupted) {
            const auto full = assemble();
            if (reports())
                out_.sample = work_.what->sample(to_device(full, torch_device(o.device)));
        }
        if (device_is_shared() && net_.world() > 1)
            mine_.activation_peak = mine_.peak = mine_.gradients_at_peak = 0; // of the device, not of a worker
        mine_.rank = static_cast<std::uint64_t>(net_.rank());
        mine_.bytes_sent_formula = formula(o, work_.what->model(), net_.assignment(), net_.rank(), o.masking);
        out_.workers = gather(net_, mine_);
        describe(work_, net_.assignment(), net_.world(), out_);
        return std::move(out_);
    }

private:
    using clock = std::chrono::steady_clock;
    using network_type = sdp::data_parallel<chosen_partition, chosen_masking, Communicator>;

    [[nodiscard]] bool reports() const noexcept { return net_.rank() == 0; }
    [[nodiscard]] bool device_is_shared() const noexcept
    {
        return work_.o.device == compute_device::cuda && work_.o.comm == backend::threads;
    }
    /// libtorch runs all backward passes of a CUDA device in one thread of its own. Workers that share a device may not wait for
    /// each other in there.
    [[nodiscard]] bool after_pass() const noexcept { return !work_.o.overlap || device_is_shared(); }

    const sdp::subnetwork* share_statistics(Communicator& comm)
    {
        if (work_.what->statistics() == nullptr)
            return nullptr;
        statistics_.emplace(*work_.what, net_.assignment(), chosen_masking {work_.o.masking}, comm);
        return &statistics_->subnetwork();
    }

    void step()
    {
        const auto& o = work_.o;
        const auto start = clock::now();
        stopwatch watch(o.breakdown, o.device);
        std::array scalars {worker_.pass(*data_, out_.steps), 0.0};
        watch.lap(mine_.computing);
        if (o.breakdown) {
            meet();
            watch.lap(mine_.waiting);
        }
        worker_.finish();
        const double norm = o.clip > 0 ? net_.gradient_norm() : 0;
        watch.lap(mine_.exchanging);
        worker_.update(learning_rate(out_.steps, o.steps, o.warmup, o.learning_rate), norm, mine_);
        watch.lap(mine_.computing);
        worker_.publish(mine_);
        watch.lap(mine_.exchanging);

        scalars[1] = stop_requested() ? 1 : 0;
        net_.reduce_scalars(scalars);
        out_.interrupted = scalars[1] > 0;
        time_ += clock::now() - start;
        ++out_.steps;
        out_.items += static_cast<std::uint64_t>(o.batch * work_.what->items_per_sample() * o.accumulate * net_.world());
        if (reports()) {
            const double loss = scalars[0] / net_.world();
            trace_.write(out_.steps, loss);
            out_.items_per_second = static_cast<double>(out_.items) / time_.count();
            line_->step(out_.steps, loss, out_.items_per_second);
        }
    }

    /// Collective. Nobody goes on before all are here.
    void meet()
    {
        double nothing[1] {};
        net_.reduce_scalars(nothing);
    }

    /// Collective. The full model at rank 0, nothing elsewhere.
    weights assemble()
    {
        const auto& m = work_.what->model();
        auto full = reports() ? make_full_weights(m) : weights();
        for (std::size_t p = 0; p < m.parameters().size(); ++p)
            net_.assemble(sdp::parameter_id(p), 0, reports() ? full[p].front().value : at::Tensor());
        return full;
    }

    /// Collective.
    void evaluate(bool probes)
    {
        const auto full = assemble();
        const auto statistics = statistics_ ? statistics_->assemble(0) : weights();
        if (reports())
            look_at(full, statistics, probes);
        if (work_.o.breakdown)
            meet(); // what rank 0 does alone is no part of the next step
    }

    void look_at(const weights& full, const weights& statistics, bool probes)
    {
        const auto device = torch_device(work_.o.device);
        out_.held_out.emplace_back(out_.steps, work_.what->evaluate(to_device(full, device), to_device(statistics, device)));
        line_->held_out(out_.steps, out_.held_out.back().second);
        if (probes)
            out_.alignments.emplace_back(out_.steps,
                probe(work_.o, *work_.what, full, statistics, net_.world(), static_cast<std::uint64_t>(out_.alignments.size())));
    }

    const job& work_;
    network_type net_;
    std::optional<shared_statistics<Communicator>> statistics_;
    worker<network_type> worker_;
    std::unique_ptr<data_source> data_;
    trace_file trace_;
    std::optional<progress> line_;
    worker_report mine_;
    run_report out_;
    std::chrono::duration<double> time_ {}; ///< spent training
};

/// Runs one worker from start to end. Collective. The report is complete at rank 0.
template <sdp::communicator Communicator> run_report train(const job& work, Communicator comm)
{
    at::set_num_threads(work.o.threads); // of this worker; one by default: a core each, and sums in one order
    return training<Communicator>(work, comm).run();
}

} // namespace trainer
