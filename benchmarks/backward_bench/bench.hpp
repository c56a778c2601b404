// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief A simulated backward pass with the library's exchange behind it, over any communicator with a delayed link.

#include "../overlap_bench/ours.hpp"

#include <support/delayed_communicator.hpp>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace backward_bench {

using milliseconds = std::chrono::duration<double, std::milli>;
using clock_type = std::chrono::steady_clock;

struct options {
    std::string backend = "threads"; ///< or "mpi", where the launcher decides the number of workers
    int workers = 2;
    int holders = 2;
    std::size_t bytes = std::size_t {64} << 20; ///< of the model
    std::size_t parameter_bytes = std::size_t {64} << 10;
    std::vector<std::size_t> bucket_bytes; ///< empty: 64 KiB to 64 MiB
    std::size_t latency_us = 100;
    std::size_t megabytes_per_second = 200;
    /// `device`: a device computes, and the worker sleeps until a gradient is final, so that more workers than cores fit.
    /// `processor`: the worker's own processor multiplies and adds, and what it does for the exchange is not hidden.
    std::string compute = "device";

    void add_to(CLI::App& app)
    {
        app.add_option("--backend", backend, "Workers")->check(CLI::IsMember({"threads", "mpi"}))->capture_default_str();
        app.add_option("--workers", workers, "Threads; of MPI the launcher decides")
            ->check(CLI::Range(2, 1024))
            ->capture_default_str();
        app.add_option("--holders", holders, "Holders of every unit")->check(CLI::PositiveNumber)->capture_default_str();
        bench::add_size(app, "--bytes", bytes, "Of the model");
        bench::add_size(app, "--parameter-bytes", parameter_bytes, "Of each parameter")->check(CLI::PositiveNumber);
        bench::add_sizes(app, "--bucket-bytes", bucket_bytes, "Bucket sizes")->default_str("64K,256K,1M,4M,16M,64M");
        app.add_option("--latency-us", latency_us, "Of every message")->capture_default_str();
        app.add_option("--link-mbs", megabytes_per_second, "MB/s that a worker sends")
            ->check(CLI::PositiveNumber)
            ->capture_default_str();
        app.add_option("--compute", compute, "On a device, or by the worker's own processor")
            ->check(CLI::IsMember({"device", "processor"}))
            ->capture_default_str();
    }
};

/// The worker's own share of a step, by what it was doing.
struct step_time {
    double whole = 0;
    double in_ready = 0; ///< packing, reducing, polling, waiting
    double polling = 0; ///< calls of ready that moved nothing, and tests that found nothing in the others
    double blocked = 0; ///< waits within ready: too few exchanges may be under way at once
};

/// Takes what a device or a processor needs for one parameter after the other, in backward order.
class computation {
public:
    explicit computation(bool on_device)
        : on_device_(on_device)
    {
    }

    /// Makes one pass over `parameters` take that long. With all workers at once, since they share the machine.
    void calibrate(double ms, std::size_t parameters)
    {
        device_step_ = milliseconds(ms / static_cast<double>(parameters));
        if (on_device_)
            return;
        constexpr std::size_t trial = 20'000'000;
        const auto start = clock_type::now();
        work(trial);
        const milliseconds took = clock_type::now() - start;
        work_step_ = static_cast<std::size_t>(static_cast<double>(trial) * device_step_.count() / took.count());
    }

    void begin() { next_ = clock_type::now(); }
    void one_parameter()
    {
        if (!on_device_)
            return work(work_step_);
        next_ += std::chrono::duration_cast<clock_type::duration>(device_step_); // a device does not wait for its host
        std::this_thread::sleep_until(next_);
    }

private:
    void work(std::size_t steps)
    {
        float x[8] {1, 2, 3, 4, 5, 6, 7, 8};
        for (std::size_t i = 0; i < steps / 8; ++i)
            for (float& y : x)
                y = y * 0.999F + 0.001F;
        for (const float y : x)
            result_ = result_ + y; // volatile, so that the work is done
    }

    bool on_device_;
    milliseconds device_step_ {};
    std::size_t work_step_ = 0;
    clock_type::time_point next_ {};
    volatile float result_ = 0;
};

template <sdp::communicator C> class backward_pass {
public:
    using link = support::delayed_communicator<C>;

    backward_pass(const options& o, const overlap_bench::layout& l, std::size_t bucket_bytes, link comm)
        : arena_(overlap_bench::arena_elements(l))
        , comm_(comm)
        , ours_(l, options_with(bucket_bytes), comm, arena_)
        , contender_(ours_.as_contender("exchange"))
        , compute_(o.compute == "device")
    {
    }

    [[nodiscard]] std::size_t size() { return parameters(); }
    void calibrate(double ms) { compute_.calibrate(ms, parameters()); }
    void prepare() { contender_.prepare(); }
    [[nodiscard]] std::uint64_t wrong() { return contender_.check(); }

    [[nodiscard]] step_time step(bool computing, bool exchanging)
    {
        step_time out;
        const auto start = clock_type::now();
        compute_.begin();
        for (std::size_t p = parameters(); p-- > 0;) {
            if (computing)
                compute_.one_parameter();
            if (exchanging)
                ready(sdp::parameter_id(p), out);
        }
        if (exchanging)
            ours_.net().finish();
        out.whole = milliseconds(clock_type::now() - start).count();
        return out;
    }

private:
    [[nodiscard]] static sdp::synchronizer_options options_with(std::size_t bucket_bytes)
    {
        sdp::synchronizer_options out;
        out.bucket_bytes = bucket_bytes;
        return out;
    }
    [[nodiscard]] std::size_t parameters() { return ours_.net().model().parameters().size(); }

    void ready(sdp::parameter_id id, step_time& out)
    {
        const auto before = comm_.counters();
        const auto start = clock_type::now();
        ours_.net().ready(id);
        const milliseconds took = clock_type::now() - start;
        const auto& after = comm_.counters();
        const bool idle = after.posted == before.posted && after.arrived == before.arrived;
        out.in_ready += took.count();
        out.polling += idle ? took.count() : milliseconds(after.fruitless_time - before.fruitless_time).count();
        out.blocked += milliseconds(after.waiting_time - before.waiting_time).count();
    }

    std::vector<float> arena_;
    link comm_;
    overlap_bench::our_exchange<link> ours_;
    bench::contender contender_;
    computation compute_;
};

/// Measures a bucket size: the backward pass alone, the exchange alone, and both at once, in turn. Collective.
/// @param backward_ms of the whole pass; 0: set to twice the exchange with the library's own buckets, the same for all bucket
/// sizes, so that these can be compared
template <sdp::communicator C>
[[nodiscard]] bench::results measure(const options& o, const overlap_bench::layout& l, std::size_t bucket, C inner,
    const bench::selection& chosen, int rounds, double& backward_ms, const bench::coordinator& all)
{
    const support::link_speed speed {std::chrono::microseconds(o.latency_us), static_cast<double>(o.megabytes_per_second) * 1e6};
    if (backward_ms == 0) {
        backward_pass<C> plain(o, l, sdp::synchronizer_options {}.bucket_bytes, {inner, speed});
        std::vector<double> alone;
        for (int i = 0; i < 3; ++i) {
            all.barrier();
            alone.push_back(all.maximum(plain.step(false, true).whole));
        }
        std::sort(alone.begin(), alone.end());
        backward_ms = 2 * alone[1];
    }
    backward_pass<C> pass(o, l, bucket, {inner, speed});
    all.barrier();
    pass.calibrate(backward_ms);
    std::vector<bench::contender> contenders;
    const auto add = [&](const char* name, bool computing, bool exchanging) {
        if (!chosen.has(name))
            return;
        const auto last = std::make_shared<step_time>();
        auto& c = contenders.emplace_back();
        c.name = name;
        c.run = [=, &pass] {
            *last = pass.step(computing, exchanging);
            return last->whole / 1e3;
        };
        if (!exchanging)
            return;
        c.prepare = [&pass] { pass.prepare(); };
        c.check = [&pass] { return pass.wrong(); };
        c.observed = [last] {
            return bench::counters {
                {"polling", last->polling / last->whole}, {"ready_ms", last->in_ready}, {"blocked_ms", last->blocked}};
        };
    };
    add("backward", true, false);
    add("exchange", false, true);
    add("both", true, true);
    auto out = bench::measure(contenders, rounds, all);
    for (auto& [name, m] : out) {
        m.fixed["bytes"] = static_cast<double>(l.elements() * sizeof(float));
        m.fixed["wrong"] = static_cast<double>(m.wrong);
        for (const auto* counter : {"polling", "ready_ms", "blocked_ms", "hidden"})
            if (!m.by_round.contains(counter))
                m.by_round[counter].assign(m.seconds.size(), 0);
    }
    if (out.contains("backward") && out.contains("exchange") && out.contains("both"))
        for (std::size_t round = 0; round < out["both"].seconds.size(); ++round)
            out["both"].by_round["hidden"][round]
                = 1 - (out["both"].seconds[round] - out["backward"].seconds[round]) / out["exchange"].seconds[round];
    return out;
}

/// Adds a setting for each bucket size. `measure(layout, bucket, chosen, rounds, backward_ms)` runs it.
template <class Measure> void add_settings(const options& o, bench::program& p, int world, Measure measure)
{
    overlap_bench::options shape;
    shape.holders = {o.holders};
    shape.bytes = {o.bytes};
    shape.parameters = std::max<std::size_t>(o.bytes / o.parameter_bytes, 1);
    const auto planned = overlap_bench::planned_layouts(shape, world).front();
    auto buckets = o.bucket_bytes;
    if (buckets.empty())
        for (std::size_t size = std::size_t {64} << 10; size <= std::size_t {64} << 20; size *= 4)
            buckets.push_back(size);
    const auto backward_ms = std::make_shared<double>(0);
    for (const auto bucket : buckets)
        p.add({o.backend + '/' + o.compute + "/N:" + std::to_string(world) + "/k:" + std::to_string(o.holders)
                + "/model:" + bench::size_name(o.bytes) + "/bucket:" + bench::size_name(bucket),
            {"backward", "exchange", "both"}, [=](const bench::selection& chosen, int rounds) {
                return measure(planned.make(), bucket, chosen, rounds, *backward_ms);
            }});
}

[[nodiscard]] int run_mpi(const options& o, bench::program& p);

} // namespace backward_bench
