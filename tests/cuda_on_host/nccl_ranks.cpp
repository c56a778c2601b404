// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief NCCL's communicator among ranks that are threads, each with a device: scenarios of the oracle, captured steps, bytes.

#include "run_ranks.hpp"

#include <cuda/managed_tensors.hpp>
#include <oracle/run_scenario.hpp>

#include <string>
#include <vector>

using namespace simulated;

TEST_CASE("random scenarios over NCCL equal the dense simulation and the host, bit for bit")
{
    const auto cases = oracle::from_environment("SDP_ORACLE_CASES", 60);
    std::uint64_t ran = 0, compared = 0;
    const auto reduced_before = simulated::nccl.all_reduces.load();
    for (std::uint64_t seed = 12'000'001; ran < cases; ++seed) {
        auto s = oracle::random_scenario(seed, 1 + static_cast<int>(ran % 5));
        support::fit_for_stream(s);
        const oracle::expectation expected(s);
        if (!expected.sets.untrained().empty())
            continue;
        INFO(s.describe());
        const auto on_host = oracle::outcomes_on_threads(s, expected);
        std::vector<oracle::outcome> found(on_host.size());
        {
            const support::managed_tensors managed;
            run_ranks(s.world, [&](const ncclUniqueId& id, int rank) {
                found[static_cast<std::size_t>(rank)] = oracle::run_worker(
                    s, expected, sdp::nccl_communicator::create(id, rank, s.world, nullptr, {.blocking = seed % 2 == 0}));
            });
        }
        for (const auto& failure : oracle::failures_of(found))
            FAIL_CHECK(failure);
        for (const auto& failure : oracle::joint_failures(s, expected.sets, found))
            FAIL_CHECK(failure);
        for (std::size_t rank = 0; rank < found.size(); ++rank) {
            CHECK(found[rank].bits == on_host[rank].bits);
            compared += found[rank].compared;
        }
        ++ran;
    }
    const std::string text = std::to_string(ran) + " scenarios ran, " + std::to_string(compared) + " numbers compared, "
        + std::to_string(simulated::nccl.all_reduces - reduced_before) + " all-reduces";
    MESSAGE(text);
}

TEST_CASE("a captured step does, replayed, what the step does, on any number of ranks")
{
    for (const int size : {1, 2, 4})
        for (const bool blocking : {false, true})
            run_ranks(size, [&](const ncclUniqueId& id, int rank) {
                const sdp::cuda::stream stream;
                CHECK(support::flaw_of_captured_step(
                          sdp::nccl_communicator::create(id, rank, size, stream.get(), {.blocking = blocking}), stream.get())
                    == "");
            });
}

TEST_CASE("there is one communicator, and messages carry what the formula says")
{
    constexpr int size = 4;
    const auto made = simulated::nccl.made.load();
    run_ranks(size, [&](const ncclUniqueId& id, int rank) {
        sdp::model m;
        const auto neurons = m.add_group("neurons", 96);
        m.add_parameter("rows", {96, 33}, {.axes = {{0, neurons}}});
        sdp::data_parallel net(m, sdp::neuron_partition {.coverage = 0.5}, sdp::backward_masking {},
            sdp::nccl_communicator::create(id, rank, size, nullptr));
        const auto shape = net.subnetwork().shape(sdp::parameter_id(0));
        support::device_floats gradient(static_cast<std::size_t>(shape.product()));
        sdp::tensor_view view;
        view.data = gradient.data();
        view.shape = shape;
        view.strides = sdp::row_major_strides(shape);
        view.space = sdp::memory_space::cuda;
        net.bind_gradient(sdp::parameter_id(0), view);
        net.synchronize();
        sdp::cuda::check_call(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
        const auto& sent = simulated::nccl.sent[static_cast<std::size_t>(rank)];
        const auto before = sent.load();
        net.synchronize();
        CHECK(sent - before == net.step_traffic().bytes());
        CHECK(net.step_traffic().bytes() > 0);
    });
    CHECK(simulated::nccl.made - made == size);
}

TEST_CASE("the transport's own all-reduce takes what all ranks train")
{
    for (const bool blocking : {false, true})
        run_ranks(4, [&](const ncclUniqueId& id, int rank) {
            trainer t(sdp::nccl_communicator::create(id, rank, 4, nullptr, {.blocking = blocking}),
                {.route = sdp::route_choice::native});
            for (const auto& use : t.net().routes())
                CHECK(use.route == "native");
            t.step();
            for (const float x : t.gradient())
                CHECK(x == 1.5F);
        });
}
