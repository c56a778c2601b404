// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief Times the step of workers that are threads and share a device: sums in each other's tensors, the same in messages, and
/// a plain copy of as many bytes.
///
/// `thread_bench --workers 2,4,8 --bytes 256M`
///
/// Eight square matrices, split by rows or by columns. Each contender is timed by events on every worker's stream, the slowest
/// counting; `host_us` is how long the slowest worker's thread took to put the step there. `bytes` is what all workers send when
/// they send messages. `of_copy` is bytes per second over those of `copy`, in which every worker copies as many bytes as it sends
/// by one cudaMemcpyAsync, all at once.

#include "../common/program.hpp"
#include "../common/thread_meeting.hpp"
#include "../tile_bench/timer.hpp"

#include <sdp/comm/cuda_threads.hpp>
#include <sdp/data_parallel.hpp>
#include <sdp/masking/forward.hpp>
#include <sdp/partition/neuron.hpp>
#include <sdp/stream.hpp>

#include <benchmark/benchmark.h>

#include <chrono>
#include <cmath>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using sdp::index_t;

struct setting {
    int workers;
    std::size_t bytes;
    bool columns;
    double coverage;
};

sdp::model matrices(const setting& s)
{
    constexpr std::size_t layers = 8;
    const auto size = static_cast<index_t>(std::sqrt(static_cast<double>(s.bytes / layers / sizeof(float))));
    sdp::model m;
    for (std::size_t layer = 0; layer < layers; ++layer) {
        const auto name = std::to_string(layer);
        const auto group = m.add_group("neurons." + name, size);
        m.add_parameter("matrix." + name, {size, size}, {.axes = {{s.columns ? 1 : 0, group}}});
    }
    return m;
}

/// Tensors of one worker, one block of memory each.
template <class Net> void bind_gradients(Net& net, sdp::cuda::executor& executor)
{
    for (std::size_t p = 0; p < net.model().parameters().size(); ++p) {
        const auto id = sdp::parameter_id(p);
        sdp::tensor_view view;
        view.shape = net.subnetwork().shape(id);
        view.strides = sdp::row_major_strides(view.shape);
        view.space = sdp::memory_space::cuda;
        const auto bytes = static_cast<std::size_t>(view.shape.product()) * sizeof(float);
        view.data = executor.allocate(bytes);
        sdp::cuda::check_call(cudaMemset(view.data, 0, bytes), "cudaMemset");
        net.bind_gradient(id, view);
    }
}

[[nodiscard]] bench::results measure(const setting& s, const bench::selection& chosen, int rounds)
{
    if (sdp::cuda::device_count() == 0)
        throw std::runtime_error("there is no CUDA device");
    const auto m = matrices(s);
    const sdp::neuron_partition partition {.coverage = s.coverage};
    bench::thread_meeting meeting(s.workers);
    bench::results out;
    double all_bytes = 0;
    sdp::run_workers(s.workers, [&](sdp::thread_communicator inner) {
        const int rank = inner.rank();
        const auto all = meeting.of(rank);
        const sdp::cuda::stream stream;
        sdp::cuda_thread_communicator comm(std::move(inner), stream.get());
        sdp::synchronizer_options messages;
        messages.route = sdp::route_choice::two_sided;
        sdp::data_parallel by_tensors(m, partition, sdp::forward_masking {}, comm);
        sdp::data_parallel by_messages(m, partition, sdp::forward_masking {}, comm, messages);
        bind_gradients(by_tensors, comm.executor());
        bind_gradients(by_messages, comm.executor());
        by_messages.synchronize();
        const auto sent = static_cast<std::size_t>(by_messages.step_traffic().bytes());
        auto* const from = comm.executor().allocate(2 * sent);
        tile_bench::timer time;
        std::vector<bench::contender> contenders;
        const auto add = [&](const char* name, std::function<void()> step) {
            if (!chosen.has(name))
                return;
            const auto host_us = std::make_shared<double>(0);
            auto& c = contenders.emplace_back();
            c.name = name;
            c.run = [&time, &stream, host_us, step = std::move(step)] {
                return time(stream.get(), [&] {
                    const auto begin = std::chrono::steady_clock::now();
                    step();
                    *host_us = std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count();
                }) / 1e3;
            };
            c.observed = [host_us] { return bench::counters {{"host_us", *host_us}}; };
        };
        add("tensors", [&] { by_tensors.synchronize(); });
        add("messages", [&] { by_messages.synchronize(); });
        add("copy", [&] {
            sdp::cuda::check_call(
                cudaMemcpyAsync(from + sent, from, sent, cudaMemcpyDeviceToDevice, stream.get()), "cudaMemcpyAsync");
        });
        for (int warm = 0; warm < 2; ++warm)
            for (const auto& c : contenders) {
                all.barrier();
                static_cast<void>(c.run());
            }
        const double bytes = all.sum(static_cast<double>(sent));
        auto mine = bench::measure(contenders, rounds, all);
        all.barrier(); // before tensors go that others may still be told of
        if (rank == 0) {
            out = std::move(mine);
            all_bytes = bytes;
        }
    });
    for (auto& [name, each] : out) {
        each.fixed["bytes"] = all_bytes;
        for (std::size_t round = 0; round < each.seconds.size(); ++round) {
            each.by_round["GB/s"].push_back(all_bytes / each.seconds[round] / 1e9);
            each.by_round["of_copy"].push_back(out.contains("copy") ? out["copy"].seconds[round] / each.seconds[round] : 0);
        }
    }
    return out;
}

} // namespace

int main(int argc, char** argv)
{
    return bench::guarded("thread_bench", [&] {
        bench::program program("Times the step of workers that are threads and share a CUDA device.", 30);
        std::vector<int> workers {2, 4, 8};
        std::size_t bytes = std::size_t {256} << 20;
        program.flags()
            .add_option("--workers", workers, "Threads; several numbers are separated by commas")
            ->delimiter(',')
            ->check(CLI::Range(2, 64))
            ->capture_default_str();
        bench::add_size(program.flags(), "--bytes", bytes, "Of the model")
            ->check(CLI::Range(std::size_t {1} << 16, std::size_t {1} << 34));
        program.parse(argc, argv);
        benchmark::SetDefaultTimeUnit(benchmark::kMillisecond);
        for (const int n : workers)
            for (const bool columns : {false, true})
                for (const double coverage : {0.5, 1.0})
                    if (coverage * n >= 2) // else nothing is shared
                        program.add({"device/N:" + std::to_string(n) + "/split:" + (columns ? "columns" : "rows")
                                + "/C:" + (coverage == 1 ? "1" : "1_2") + "/model:" + bench::size_name(bytes),
                            {"tensors", "messages", "copy"}, [=](const auto& chosen, int rounds) {
                                return measure({n, bytes, columns, coverage}, chosen, rounds);
                            }});
        return program.lead();
    });
}
