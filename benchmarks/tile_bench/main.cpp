// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief Times packing, the fused sum and unpacking on a device beside copies of the same bytes.
///
/// `tile_bench [MiB of the tensor, 256] [rounds, 30] [file for JSON lines]`
///
/// A tensor has at most 2^24 runs, so that of 4 bytes is smaller than asked for where neurons are rows.
/// One matrix, split by rows or by columns; two others hold every other neuron with this worker, so runs of two classes take
/// turns. In each round all contenders run in turn, each timed by events on its stream. `of copy` is the bytes read and written
/// per second over those of one cudaMemcpyAsync of as many bytes on the device.

#include "batched_copy.hpp"
#include "timer.hpp"

#include "../plan_bench/report.hpp"

#include <sdp/cuda/executor.hpp>
#include <sdp/detail/tile_program.hpp>
#include <sdp/masking/forward.hpp>
#include <sdp/overlap/build.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

namespace {

using plan_bench::row;
using sdp::index_t;

constexpr std::size_t most_runs = std::size_t {1} << 24; ///< of a tensor: short ones take a smaller one

struct contender {
    std::string name;
    double bytes; ///< read and written
    std::function<void()> run;
    std::vector<double> times {};
};

void measure(bool columns, std::size_t run_bytes, std::size_t tensor_bytes, int rounds, const plan_bench::report& print_to)
{
    auto print = print_to;
    constexpr std::size_t wide = 64; // runs in a row, split by columns
    const auto run = static_cast<index_t>(run_bytes / sizeof(float));
    const auto neurons = columns ? static_cast<index_t>(wide) : static_cast<index_t>(tensor_bytes / run_bytes);
    const auto rows = columns ? static_cast<index_t>(tensor_bytes / (run_bytes * wide)) : neurons;
    sdp::model m;
    const auto group = m.add_group("neurons", neurons);
    if (columns)
        m.add_parameter("matrix", {rows, neurons * run}, {.axes = {{1, group}}});
    else
        m.add_parameter("matrix", {neurons, run}, {.axes = {{0, group}}});
    sdp::assignment a(m, 3);
    const std::uint32_t holders[] {a.add_holders({0, 1}), a.add_holders({0, 2})};
    std::vector<sdp::assignment::unit> units;
    for (index_t i = 0; i < neurons; ++i)
        units.push_back({i, i + 1, holders[i % 2]});
    a.assign(group, std::move(units));
    const sdp::residency residents(m, a, sdp::forward_masking {});
    const sdp::subnetwork mine(m, residents, 0);

    sdp::synchronizer_options options;
    options.route = sdp::route_choice::two_sided;
    sdp::detail::bound_tensors tensors(m, mine, sdp::memory_space::cuda, true);
    auto plan = sdp::make_overlap_plan(m, residents, mine);
    std::vector<sdp::detail::route> routes(plan.classes.size(), sdp::detail::route::two_sided);
    sdp::detail::bucket_store store(
        std::move(plan), sdp::detail::make_buckets(m, options.bucket_bytes), std::move(routes), tensors, options, {false, false});
    sdp::cuda::executor executor(nullptr);
    store.allocate([&](std::size_t bytes) { return executor.allocate(bytes); });
    const sdp::detail::tile_program program(store);
    const auto upload = [&](const auto& list) {
        using T = std::remove_cvref_t<decltype(list[0])>;
        auto* const there = executor.allocate(std::max<std::size_t>(list.size(), 1) * sizeof(T));
        executor.write(there, list.data(), list.size() * sizeof(T));
        return reinterpret_cast<T*>(there);
    };
    const std::vector<sdp::detail::class_scale> scales(store.plan().classes.size(), {2, 1});
    sdp::detail::tile_job job;
    job.tiles = upload(program.tiles());
    job.shapes = upload(program.shapes());
    job.runs = upload(program.runs());
    job.groups = upload(program.groups());
    job.sides = upload(program.sides());
    job.scales = upload(scales);
    job.buffer = store.at(0, 0);
    auto* const tensor = executor.allocate(tensor_bytes);
    job.tensors[0] = tensor;
    const auto go = [&](sdp::tile_phase phase, const sdp::detail::tile_program::range& which) {
        auto some = job;
        some.tiles += which.first;
        some.count = static_cast<std::uint32_t>(which.count);
        executor.run(phase, some, sdp::element_type::f32, sdp::element_type::f32);
    };
    std::size_t sent = 0;
    for (const auto& s : store.buckets()[0].peers)
        sent += s.to_owner * sizeof(float);

    // The same stretches for CUB, and the same bytes for a copy.
    std::vector<tile_bench::batched_copy::stretch> stretches;
    auto* to = store.at(0, 0);
    for (const auto& piece : store.plan().of(0))
        if (store.plan().owner_of(piece) != 0)
            sdp::detail::piece_walker(store.plan(), piece)
                .advance(static_cast<std::size_t>(store.plan().size_of(piece)), [&](std::uint64_t at, std::size_t length) {
                    stretches.push_back({tensor + at * sizeof(float), to, length * sizeof(float)});
                    to += length * sizeof(float);
                });
    tile_bench::batched_copy batched(stretches);
    auto* const aside = executor.allocate(sent);
    const auto stream = executor.stream();
    std::vector<contender> contenders;
    const auto bytes = static_cast<double>(sent);
    contenders.push_back(
        {"copy", 2 * bytes, [&] {
             sdp::cuda::check(cudaMemcpyAsync(aside, store.at(0, 0), sent, cudaMemcpyDeviceToDevice, stream), "cudaMemcpyAsync");
         }});
    const auto& tiles = program.of(0);
    contenders.push_back({"pack", 2 * bytes, [&] { go(sdp::tile_phase::pack, tiles.pack); }});
    contenders.push_back({"sum", 4 * bytes, [&] { go(sdp::tile_phase::reduce, tiles.reduce); }});
    contenders.push_back({"unpack", 2 * bytes, [&] { go(sdp::tile_phase::unpack, tiles.unpack); }});
    contenders.push_back({"cub batched", 2 * bytes, [&] { batched(stream); }});
    tile_bench::timer time;
    for (int round = -2; round < rounds; ++round) // the first ones warm up
        for (auto& c : contenders) {
            const double ms = time(stream, c.run);
            if (round >= 0)
                c.times.push_back(ms);
        }
    double copy_rate = 0;
    for (auto& c : contenders) {
        std::sort(c.times.begin(), c.times.end());
        const double ms = c.times[c.times.size() / 2], rate = c.bytes / ms / 1e6;
        if (c.name == "copy")
            copy_rate = rate;
        print("tiles",
            row {}
                .add("split  ", columns ? "columns" : "rows")
                .add("run bytes", run_bytes)
                .add("MiB moved", bytes / (1 << 20), 1)
                .add("what       ", c.name)
                .add("median ms", ms, 4)
                .add("min ms", c.times.front(), 4)
                .add("max ms", c.times.back(), 4)
                .add("GB/s", rate, 1)
                .add("of copy", rate / copy_rate, 3));
    }
}

} // namespace

int main(int argc, char** argv)
{
    try {
        if (sdp::cuda::device_count() == 0) {
            std::puts("skipped: there is no CUDA device");
            return 0;
        }
        const std::size_t mebibytes = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 256;
        const int rounds = argc > 2 ? std::atoi(argv[2]) : 30;
        const plan_bench::report print(argc > 3 ? argv[3] : "");
        for (const bool columns : {false, true})
            for (const std::size_t run_bytes : {4, 16, 64, 256, 512, 4096, 65'536})
                measure(columns, run_bytes, std::min(mebibytes << 20, run_bytes * most_runs), rounds, print);
        return 0;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "tile_bench: %s\n", e.what());
        return 1;
    }
}
