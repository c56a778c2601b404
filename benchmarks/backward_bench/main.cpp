// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief Times a backward pass, the exchange, and both at once, over links with a latency and a bandwidth.
///
/// `backward_bench --workers 4`
/// `backward_bench --workers 2 --compute work --bucket-bytes 1M,4M`
/// `mpirun -n 2 backward_bench --backend mpi`
///
/// Messages take their time without costing the processor any, as over a network. `hidden` is 1 − (both − backward) /
/// exchange; `polling` is the share of a step that was spent to find that nothing had arrived.

#include "../overlap_bench/thread_coordinator.hpp"
#include "bench.hpp"

#include <sdp/comm/threads.hpp>

#include <exception>

namespace {

void run_threads(const backward_bench::options& o)
{
    overlap_bench::thread_meeting meeting(o.workers);
    sdp::run_workers(o.workers, [&](sdp::thread_communicator comm) { backward_bench::run_on(o, comm, meeting.of(comm.rank())); });
}

[[nodiscard]] backward_bench::options parse(int argc, char** argv)
{
    using overlap_bench::size_of;
    using overlap_bench::sizes_of;
    backward_bench::options out;
    overlap_bench::parse_flags(argc, argv,
        {
            {"--backend", [&](auto, auto v) { out.backend = v; }},
            {"--workers", [&](auto f, auto v) { out.workers = static_cast<int>(size_of(f, v)); }},
            {"--holders", [&](auto f, auto v) { out.holders = static_cast<int>(size_of(f, v)); }},
            {"--bytes", [&](auto f, auto v) { out.bytes = size_of(f, v); }},
            {"--parameter-bytes", [&](auto f, auto v) { out.parameter_bytes = size_of(f, v); }},
            {"--bucket-bytes", [&](auto f, auto v) { out.bucket_bytes = sizes_of(f, v); }},
            {"--latency-us", [&](auto f, auto v) { out.latency_us = size_of(f, v); }},
            {"--link-mbs", [&](auto f, auto v) { out.megabytes_per_second = size_of(f, v); }},
            {"--compute", [&](auto, auto v) { out.compute = v; }},
            {"--rounds", [&](auto f, auto v) { out.rounds = static_cast<int>(size_of(f, v)); }},
            {"--json", [&](auto, auto v) { out.json = v; }},
        });
    if (out.backend != "threads" && out.backend != "mpi")
        throw std::invalid_argument("--backend has '" + out.backend + "'; expected threads or mpi");
    if (out.compute != "work" && out.compute != "device")
        throw std::invalid_argument("--compute has '" + out.compute + "'; expected work or device");
    return out;
}

} // namespace

int main(int argc, char** argv)
{
    try {
        const auto o = parse(argc, argv);
        if (o.backend == "mpi")
            backward_bench::run_mpi(o, argc, argv);
        else
            run_threads(o);
        return 0;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "backward_bench: %s\n", e.what());
        return 1;
    }
}
