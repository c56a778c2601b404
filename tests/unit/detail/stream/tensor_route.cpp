// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief Sums in the tensors of other workers, on streams: who waits for whom, what is refused, and what happens when one fails.
/// That they give the same bits as all other ways is the oracle's.

#include <unit/cases.hpp>

#include <support/allocation_count.hpp>
#include <support/stream_communicator.hpp>

#include <sdp/data_parallel.hpp>
#include <sdp/masking/backward.hpp>
#include <sdp/masking/forward.hpp>
#include <sdp/partition/neuron.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

namespace {

using support::reaching_stream_communicator;

sdp::model square(sdp::index_t size)
{
    sdp::model m;
    const auto g = m.add_group("neurons", size);
    m.add_parameter("rows", {size, size}, {.axes = {{0, g}}});
    m.add_parameter("columns", {size, size}, {.axes = {{1, g}}});
    return m;
}

template <class Net> std::vector<std::vector<float>> gradients_of(const Net& net, float value)
{
    std::vector<std::vector<float>> out;
    for (std::size_t p = 0; p < 2; ++p)
        out.emplace_back(static_cast<std::size_t>(net.subnetwork().shape(sdp::parameter_id(p)).product()), value);
    return out;
}

/// The elements of all sides of all sums, in the order of the sums: which tensor, and where in it.
std::vector<std::pair<std::uint32_t, std::uint64_t>> places_of(const sdp::detail::tensor_sum_tiles& sums)
{
    sdp::tiles::tile_job job;
    job.shapes = sums.shapes().data();
    job.runs = sums.runs().data();
    std::vector<std::pair<std::uint32_t, std::uint64_t>> out;
    for (const auto& t : sums.tiles())
        for (std::uint32_t i = 0; i < t.count; ++i) {
            const auto& group = sums.groups()[t.group];
            for (std::uint32_t s = 0; s < group.sides; ++s) {
                const auto& side = sums.sides()[group.first_side + s];
                const auto x = side.within + static_cast<std::uint32_t>(t.packed) + i;
                out.emplace_back(side.place, sdp::tiles::place_in(job.runs, job.shapes[side.shape], side.start, x));
            }
        }
    return out;
}

void wait_until(const std::atomic<int>& count, int least)
{
    while (count.load() < least)
        std::this_thread::yield();
}

} // namespace

TEST_CASE("classes go in tensors where all trainers reach each other, else in messages")
{
    for (const int together : {1, 2, 4})
        for (const auto route : {sdp::route_choice::fastest, sdp::route_choice::memory, sdp::route_choice::two_sided})
            sdp::run_workers(4, [&](sdp::thread_communicator inner) {
                sdp::synchronizer_options options;
                options.route = route;
                sdp::data_parallel net(square(24), sdp::neuron_partition {.coverage = 0.5}, sdp::forward_masking {},
                    reaching_stream_communicator(inner, together), options);
                bool in_tensors = false, in_messages = false;
                for (const auto& use : net.routes())
                    (use.route == "tensors" ? in_tensors : in_messages) = true;
                CHECK(in_tensors == (together > 1 && route != sdp::route_choice::two_sided));
                CHECK(in_messages == (together < 4 || route == sdp::route_choice::two_sided));
            });
}

TEST_CASE("what goes in tensors needs no buffer, and after the first step nothing is allocated")
{
    for (const auto update : {sdp::update_mode::average, sdp::update_mode::owner_update})
        for (const auto wire : {sdp::wire_format::as_is, sdp::wire_format::bf16})
            for (const int together : {2, 4}) {
                std::array<long, 4> made {-1, -1, -1, -1};
                sdp::run_workers(4, [&](sdp::thread_communicator inner) {
                    sdp::synchronizer_options options;
                    options.update = update;
                    options.wire = wire;
                    options.bucket_bytes = 1;
                    sdp::data_parallel net(square(16), sdp::neuron_partition {.coverage = 0.75}, sdp::forward_masking {},
                        reaching_stream_communicator(inner, together), options);
                    if (together == 4 && update == sdp::update_mode::average)
                        CHECK(net.buffer_bytes() == 0);
                    // Gradients that change places, as those of some frameworks do.
                    std::array gradients {gradients_of(net, 1), gradients_of(net, 1)};
                    const auto step = [&](std::size_t number) {
                        net.begin_step(1.0 + net.rank());
                        for (std::size_t p = 2; p-- > 0;)
                            net.ready(sdp::parameter_id(p), gradients[number % 2][p]);
                        net.finish();
                    };
                    step(0);
                    made[static_cast<std::size_t>(net.rank())] = support::allocations_of([&] {
                        for (std::size_t i = 1; i < 21; ++i)
                            step(i);
                    });
                    for (const auto& tensor : gradients[0])
                        for (const float x : tensor)
                            REQUIRE(x == 1);
                });
                for (const auto count : made)
                    CHECK(count == 0);
            }
}

TEST_CASE("where a peer's rows end elsewhere than the owner's, sums are cut there and nothing else changes")
{
    for (const double coverage : {0.5, 1.0})
        sdp::run_workers(4, [&](sdp::thread_communicator inner) {
            const auto m = square(64);
            const sdp::residency residents(m, sdp::neuron_partition {.coverage = coverage}(m, 4), sdp::forward_masking {});
            const sdp::subnetwork mine(m, residents, inner.rank());
            const sdp::synchronizer_options options;
            const sdp::detail::bound_tensors tensors(m, mine, sdp::memory_space::host, true);
            reaching_stream_communicator comm(inner);
            auto plan = sdp::make_overlap_plan(m, residents, mine);
            auto routes = sdp::detail::choose_routes(plan, comm, options);
            const sdp::detail::bucket_buffers buffers(std::move(plan), sdp::detail::make_buckets(m, options.bucket_bytes),
                std::move(routes), tensors, options, {.in_tensors = true, .pack_own = false});
            auto layouts = sdp::detail::exchange_layouts(comm, buffers, 1min);
            const sdp::detail::tensor_sum_tiles whole(buffers, layouts);
            unit::random random(static_cast<std::uint64_t>(inner.rank()));
            for (auto& layout : layouts) {
                std::vector<sdp::detail::shaped_rows> parts;
                for (const auto& rows : layout.rows)
                    for (std::uint64_t done = 0; done < rows.count;) {
                        const auto count = std::min<std::uint64_t>(rows.count - done, 1 + random.bits() % 300);
                        parts.push_back(layout.shapes.part(rows, done, count));
                        done += count;
                    }
                layout.rows = std::move(parts);
            }
            const sdp::detail::tensor_sum_tiles cut(buffers, layouts);
            CHECK(cut.groups().size() > whole.groups().size());
            CHECK(places_of(cut) == places_of(whole));
            std::uint64_t owned = 0;
            for (const auto& piece : buffers.plan().pieces)
                if (buffers.plan().owner_of(piece) == inner.rank())
                    owned += buffers.plan().size_of(piece) * buffers.plan().class_of(piece).trainers.size();
            CHECK(places_of(whole).size() == owned);
        });
}

TEST_CASE("whoever is late is named, and tensors are left alone after that")
{
    std::atomic<int> late = 0, gone = 0;
    const sdp::thread_group group(2);
    std::string told;
    const auto worker = [&](int rank) {
        sdp::synchronizer_options options;
        options.local.timeout = rank == 0 ? 50ms : 60s;
        sdp::data_parallel net(square(16), sdp::neuron_partition {.coverage = 1}, sdp::forward_masking {},
            reaching_stream_communicator(group.communicator(rank)), options);
        auto gradients = gradients_of(net, static_cast<float>(rank));
        for (std::size_t p = 0; p < 2; ++p)
            net.bind_gradient(sdp::parameter_id(p), gradients[p]);
        if (rank == 0) {
            CHECK(unit::flaw<sdp::timeout_error>([&] { net.synchronize(); }, {"rank 0 waited 50 ms for rank 1", "gradients"})
                == "");
            ++late;
            wait_until(gone, 1);
            CHECK(gradients == gradients_of(net, 0));
        } else {
            wait_until(late, 1);
            told = unit::flaw<sdp::aborted_error>([&] { net.synchronize(); }, {"rank 1", "rank 0 ended within a step"});
            ++gone;
            CHECK(gradients == gradients_of(net, 1));
        }
    };
    std::jthread other([&] { worker(1); });
    worker(0);
    other.join();
    CHECK(told == "");
}

TEST_CASE("who waits for a worker that has failed or left within a step is told")
{
    for (const bool fails : {true, false}) {
        std::string told = "never";
        const auto run = [&] {
            sdp::run_workers(3, [&](sdp::thread_communicator inner) {
                sdp::data_parallel net(square(16), sdp::neuron_partition {.coverage = 1}, sdp::forward_masking {},
                    reaching_stream_communicator(inner));
                const auto gradients = gradients_of(net, 1);
                net.ready(sdp::parameter_id(1), gradients[1]);
                if (inner.rank() == 2) {
                    if (fails)
                        throw std::runtime_error("rank 2 has no data");
                    return;
                }
                net.ready(sdp::parameter_id(0), gradients[0]);
                const auto what = fails ? unit::flaw<sdp::aborted_error>([&] { net.finish(); }, {"rank 2 has failed"})
                                        : unit::flaw([&] { net.finish(); }, {"rank 2 has left"});
                if (inner.rank() == 0)
                    told = what;
                CHECK(gradients == gradients_of(net, 1));
            });
        };
        if (fails)
            CHECK_THROWS_WITH_AS(run(), "rank 2 has no data", std::runtime_error);
        else
            run();
        CHECK(told == "");
    }
}

TEST_CASE("workers with plans of different models are told before the first step")
{
    std::atomic<int> refused = 0;
    sdp::run_workers(2, [&](sdp::thread_communicator inner) {
        const auto m = square(inner.rank() == 0 ? 8 : 16);
        const sdp::residency everybody(m, sdp::neuron_partition {.coverage = 1}(m, 2), sdp::forward_masking {});
        CHECK(unit::flaw([&] { sdp::synchronizer net(m, everybody, reaching_stream_communicator(inner), {}); },
                  {"rank 0", "rank 1", "plans of different sizes"})
            == "");
        ++refused;
        wait_until(refused, 2);
    });
}
