// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief A simulated backward pass with the library's exchange behind it, over any communicator with a delayed link.

#include "../overlap_bench/ours.hpp"

#include <support/delayed_communicator.hpp>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace backward_bench {

using overlap_bench::coordinator;
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
    /// `work`: the worker's own processor multiplies and adds, and what it does for the exchange is not hidden.
    std::string compute = "device";
    int rounds = 7;
    std::string json;
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
        , contender_(ours_.as_contender("ours"))
        , compute_(o.compute == "device")
    {
    }

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
    [[nodiscard]] std::size_t parameters() { return ours_.net().description().parameters().size(); }

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
    overlap_bench::contender contender_;
    computation compute_;
};

inline void print_header()
{
    std::printf("%-8s %-7s %3s %3s %10s %10s %11s %11s %9s %8s %8s %9s %9s %6s\n", "backend", "compute", "N", "k", "bytes",
        "bucket", "backward ms", "exchange ms", "both ms", "hidden", "polling", "ready ms", "blocked", "#wrong");
}

/// All workers call it. @throws std::runtime_error, on all, if an element was wrong
template <sdp::communicator C> void run_on(const options& o, C inner, const coordinator& all)
{
    overlap_bench::options shape;
    shape.holders = {o.holders};
    shape.bytes = {o.bytes};
    shape.parameters = std::max<std::size_t>(o.bytes / o.parameter_bytes, 1);
    const support::link_speed speed {std::chrono::microseconds(o.latency_us), static_cast<double>(o.megabytes_per_second) * 1e6};
    auto buckets = o.bucket_bytes;
    if (buckets.empty())
        for (std::size_t size = std::size_t {64} << 10; size <= std::size_t {64} << 20; size *= 4)
            buckets.push_back(size);
    const auto slowest = [&](auto& pass, bool computing, bool exchanging) {
        all.barrier();
        auto t = pass.step(computing, exchanging);
        t.whole = all.maximum(t.whole);
        t.in_ready = all.maximum(t.in_ready);
        t.polling = all.maximum(t.polling);
        t.blocked = all.maximum(t.blocked);
        return t;
    };
    if (all.root)
        print_header();
    overlap_bench::for_each_layout(shape, inner.size(), [&](const overlap_bench::layout& l) {
        // Twice the exchange with the library's own buckets, for all sizes of buckets, so that these can be compared.
        double backward_ms = 0;
        {
            backward_pass<C> plain(o, l, sdp::synchronizer_options {}.bucket_bytes, {inner, speed});
            std::vector<double> alone;
            for (int i = 0; i < 3; ++i)
                alone.push_back(slowest(plain, false, true).whole);
            backward_ms = 2 * overlap_bench::median(alone);
        }
        for (const auto bucket : buckets) {
            backward_pass<C> pass(o, l, bucket, {inner, speed});
            all.barrier();
            pass.calibrate(backward_ms);
            std::vector<double> backward, exchange, both, polling, in_ready, blocked;
            for (int round = -1; round < o.rounds; ++round) {
                const auto a = slowest(pass, true, false), b = slowest(pass, false, true), c = slowest(pass, true, true);
                if (round < 0)
                    continue;
                backward.push_back(a.whole);
                exchange.push_back(b.whole);
                both.push_back(c.whole);
                polling.push_back(c.polling / c.whole);
                in_ready.push_back(c.in_ready);
                blocked.push_back(c.blocked);
            }
            pass.prepare();
            static_cast<void>(slowest(pass, true, true));
            const double wrong = all.sum(static_cast<double>(pass.wrong()));
            using overlap_bench::median;
            const double hidden = 1 - (median(both) - median(backward)) / median(exchange);
            if (all.root) {
                std::printf("%-8s %-7s %3d %3d %10zu %10zu %11.2f %11.2f %9.2f %8.3f %8.4f %9.2f %9.2f %6.0f\n",
                    o.backend.c_str(), o.compute.c_str(), inner.size(), o.holders, l.elements() * sizeof(float), bucket,
                    median(backward), median(exchange), median(both), hidden, median(polling), median(in_ready), median(blocked),
                    wrong);
                std::fflush(stdout);
                if (!o.json.empty())
                    std::ofstream(o.json, std::ios::app)
                        << "{\"bench\":\"backward\",\"backend\":\"" << o.backend << "\",\"compute\":\"" << o.compute
                        << "\",\"workers\":" << inner.size() << ",\"holders\":" << o.holders
                        << ",\"bytes\":" << l.elements() * sizeof(float) << ",\"parameters\":" << l.model.parameters().size()
                        << ",\"bucket_bytes\":" << bucket
                        << ",\"default_bucket\":" << (bucket == sdp::synchronizer_options {}.bucket_bytes ? "true" : "false")
                        << ",\"latency_us\":" << o.latency_us << ",\"link_mbs\":" << o.megabytes_per_second
                        << ",\"backward_ms\":" << median(backward) << ",\"exchange_ms\":" << median(exchange)
                        << ",\"both_ms\":" << median(both) << ",\"hidden\":" << hidden << ",\"polling\":" << median(polling)
                        << ",\"ready_ms\":" << median(in_ready) << ",\"blocked_ms\":" << median(blocked)
                        << ",\"rounds\":" << both.size() << ",\"wrong\":" << wrong << "}\n";
            }
            if (wrong > 0)
                throw std::runtime_error("the exchange behind the backward pass computed wrong elements");
        }
    });
}

void run_mpi(const options& o, int argc, char** argv);

} // namespace backward_bench
