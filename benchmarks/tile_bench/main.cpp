// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief Times packing, the fused sum and unpacking on a device beside copies of the same bytes.
///
/// `tile_bench --bytes 256M --benchmark_repetitions=30`
///
/// One matrix, split by rows or by columns; two others hold every other neuron with this worker, so runs of two classes take
/// turns. Each contender is timed by events on its stream. `of_copy` is the bytes read and written per second over those of
/// `copy`, one cudaMemcpyAsync of as many bytes on the device.

#include "../kernel_bench/alternating.hpp"
#include "batched_copy.hpp"
#include "timer.hpp"

#include <sdp/cuda/executor.hpp>
#include <sdp/detail/stream/tile_program.hpp>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <functional>
#include <stdexcept>
#include <utility>
#include <vector>

namespace {

[[nodiscard]] bench::results measure(const kernel_bench::shape& s, const bench::selection& chosen, int rounds)
{
    if (sdp::cuda::device_count() == 0)
        throw std::runtime_error("there is no CUDA device");
    const kernel_bench::alternating_matrix matrix(s);
    const auto& m = matrix.model;

    sdp::synchronizer_options options;
    options.route = sdp::route_choice::two_sided;
    sdp::detail::bound_tensors tensors(m, matrix.mine, sdp::memory_space::cuda, true);
    auto plan = sdp::make_overlap_plan(m, matrix.residents, matrix.mine);
    std::vector<sdp::detail::route_kind> routes(plan.classes.size(), sdp::detail::route_kind::two_sided);
    sdp::detail::bucket_buffers store(
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
    const std::vector<sdp::tiles::class_scale> scales(store.plan().classes.size(), {2, 1});
    sdp::tiles::tile_job job;
    job.tiles = upload(program.tiles());
    job.shapes = upload(program.shapes());
    job.runs = upload(program.runs());
    job.groups = upload(program.groups());
    job.sides = upload(program.sides());
    job.scales = upload(scales);
    job.buffer = store.at(0, 0);
    auto* const tensor = executor.allocate(s.tensor_bytes);
    job.tensors[0] = tensor;
    const auto go = [&](sdp::tile_phase phase, const sdp::detail::tile_program::range& which) {
        auto some = job;
        some.tiles += which.first;
        some.count = static_cast<std::uint32_t>(which.count);
        executor.run(phase, some, sdp::element_type::f32, sdp::element_type::f32);
    };
    std::size_t sent = 0;
    for (const auto& peer : store.buckets()[0].peers)
        sent += peer.to_owner * sizeof(float);

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
    const auto& tiles = program.of(0);
    tile_bench::timer time;
    std::vector<bench::contender> contenders;
    const auto add = [&](const char* name, std::function<void()> start) {
        if (!chosen.has(name))
            return;
        auto& c = contenders.emplace_back();
        c.name = name;
        c.run = [&time, stream, start = std::move(start)] { return time(stream, start) / 1e3; };
    };
    add("copy", [&] {
        sdp::cuda::check_call(cudaMemcpyAsync(aside, store.at(0, 0), sent, cudaMemcpyDeviceToDevice, stream), "cudaMemcpyAsync");
    });
    add("pack", [&] { go(sdp::tile_phase::pack, tiles.pack); });
    add("sum", [&] { go(sdp::tile_phase::reduce, tiles.reduce); });
    add("unpack", [&] { go(sdp::tile_phase::unpack, tiles.unpack); });
    add("cub_batched", [&] { batched(stream); });
    for (int warm = 0; warm < 2; ++warm)
        for (const auto& c : contenders)
            static_cast<void>(c.run());
    auto out = bench::measure(contenders, rounds, bench::alone());
    const auto bytes = static_cast<double>(sent);
    kernel_bench::add_rates(out,
        {{"copy", 2 * bytes}, {"pack", 2 * bytes}, {"sum", 4 * bytes}, {"unpack", 2 * bytes}, {"cub_batched", 2 * bytes}},
        "copy");
    return out;
}

} // namespace

int main(int argc, char** argv)
{
    return bench::guarded("tile_bench", [&] {
        bench::program program("Times packing, sums and unpacking on a CUDA device.", 30);
        std::size_t bytes = std::size_t {256} << 20;
        bench::add_size(program.flags(), "--bytes", bytes, "Of the tensor")
            ->check(CLI::Range(std::size_t {1} << 22, std::size_t {1} << 34));
        program.parse(argc, argv);
        benchmark::SetDefaultTimeUnit(benchmark::kMillisecond);
        for (const auto& s : kernel_bench::shapes(bytes, {2}))
            program.add({"device/" + kernel_bench::name_of(s), {"copy", "pack", "sum", "unpack", "cub_batched"},
                [=](const auto& chosen, int rounds) { return measure(s, chosen, rounds); }});
        return program.lead();
    });
}
