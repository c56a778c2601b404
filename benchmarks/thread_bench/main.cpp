// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief Times the step of workers that are threads and share a device: sums in each other's tensors, the same in messages, and
/// a plain copy of as many bytes.
///
/// `thread_bench [workers, 4] [MiB of the model, 256] [rounds, 30] [file for JSON lines]`
///
/// Eight square matrices, split by rows or by columns. In each round all contenders run in turn, each timed by events on every
/// worker's stream, the slowest counting; `host us` is how long the slowest worker's thread took to put the step there. Bytes are
/// what all workers send when they send messages. `of copy` is bytes per second over those of `copy`, in which every worker
/// copies as many bytes as it sends by one cudaMemcpyAsync, all at once.

#include "../plan_bench/report.hpp"
#include "../tile_bench/timer.hpp"

#include <sdp/cuda/threads.hpp>
#include <sdp/data_parallel.hpp>
#include <sdp/masking/forward.hpp>
#include <sdp/partition/neuron.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace {

using plan_bench::row;
using sdp::index_t;

struct contender {
    std::string name;
    std::vector<double> times {}; ///< milliseconds of a round
    std::vector<double> host_times {}; ///< microseconds
};

struct setting {
    int workers;
    std::size_t bytes;
    int rounds;
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
    for (std::size_t p = 0; p < net.description().parameters().size(); ++p) {
        const auto id = sdp::parameter_id(p);
        sdp::tensor_view view;
        view.shape = net.subnetwork().shape(id);
        view.strides = sdp::row_major_strides(view.shape);
        view.space = sdp::memory_space::cuda;
        const auto bytes = static_cast<std::size_t>(view.shape.product()) * sizeof(float);
        view.data = executor.allocate(bytes);
        sdp::cuda::check(cudaMemset(view.data, 0, bytes), "cudaMemset");
        net.bind_gradient(id, view);
    }
}

void measure(const setting& s, const plan_bench::report& print_to)
{
    std::array contenders {contender {"tensors"}, contender {"messages"}, contender {"copy"}};
    const auto workers = static_cast<std::size_t>(s.workers);
    std::vector<double> device(workers), host(workers), bytes(workers); // by worker
    const auto m = matrices(s);
    const sdp::neuron_partition partition {.coverage = s.coverage};
    sdp::run_workers(s.workers, [&](sdp::thread_communicator inner) {
        const auto rank = static_cast<std::size_t>(inner.rank());
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
        bytes[rank] = static_cast<double>(sent);
        auto* const from = comm.executor().allocate(2 * sent);
        const std::array<std::function<void()>, 3> run {[&] { by_tensors.synchronize(); }, [&] { by_messages.synchronize(); },
            [&] {
                sdp::cuda::check(
                    cudaMemcpyAsync(from + sent, from, sent, cudaMemcpyDeviceToDevice, stream.get()), "cudaMemcpyAsync");
            }};
        tile_bench::timer time;
        const auto meet = [&] {
            double nothing = 0;
            by_tensors.reduce_scalars(std::span(&nothing, 1));
        };
        for (int round = -2; round < s.rounds; ++round) // the first ones warm up
            for (std::size_t c = 0; c < run.size(); ++c) {
                meet();
                device[rank] = time(stream.get(), [&] {
                    const auto begin = std::chrono::steady_clock::now();
                    run[c]();
                    host[rank] = std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count();
                });
                meet();
                if (rank == 0 && round >= 0) {
                    contenders[c].times.push_back(*std::ranges::max_element(device));
                    contenders[c].host_times.push_back(*std::ranges::max_element(host));
                }
            }
        meet(); // before tensors go that others may still be told of
    });
    double all = 0;
    for (const double each : bytes)
        all += each;
    auto print = print_to;
    for (auto& c : contenders) {
        std::ranges::sort(c.times);
        std::ranges::sort(c.host_times);
    }
    const auto median = [](const std::vector<double>& sorted) { return sorted[sorted.size() / 2]; };
    const double copy = median(contenders.back().times);
    for (const auto& c : contenders)
        print("threads",
            row {}
                .add("workers", s.workers)
                .add("split  ", s.columns ? "columns" : "rows")
                .add("coverage", s.coverage, 2)
                .add("MiB sent", all / (1 << 20), 1)
                .add("what    ", c.name)
                .add("median ms", median(c.times), 4)
                .add("min ms", c.times.front(), 4)
                .add("max ms", c.times.back(), 4)
                .add("host us", median(c.host_times), 1)
                .add("GB/s", all / median(c.times) / 1e6, 1)
                .add("of copy", copy / median(c.times), 3));
}

} // namespace

int main(int argc, char** argv)
{
    try {
        if (sdp::cuda::device_count() == 0) {
            std::puts("skipped: there is no CUDA device");
            return 0;
        }
        const int workers = argc > 1 ? std::atoi(argv[1]) : 4;
        const std::size_t mebibytes = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 256;
        const int rounds = argc > 3 ? std::atoi(argv[3]) : 30;
        const plan_bench::report print(argc > 4 ? argv[4] : "");
        if (workers < 2 || mebibytes < 1 || rounds < 1)
            sdp::detail::fail("expected at least 2 workers, 1 MiB and 1 round");
        for (const bool columns : {false, true})
            for (const double coverage : {0.5, 1.0})
                if (coverage * workers >= 2) // else nothing is shared
                    measure({workers, mebibytes << 20, rounds, columns, coverage}, print);
        return 0;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "thread_bench: %s\n", e.what());
        return 1;
    }
}
