// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief NCCL's communicator among ranks that are threads, each with a device: scenarios of the oracle, captured steps, ranks
/// that do not come, and errors of NCCL's.

#include "nccl.hpp"
#include "runtime.hpp"

#include <cuda/captured_step.hpp>
#include <cuda/managed_tensors.hpp>
#include <oracle/run_scenario.hpp>

#include <sdp/comm/nccl.hpp>

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

namespace {

/// Runs ranks as threads, and looks what they leave.
template <class Rank> void run_ranks(int size, Rank rank)
{
    simulated::devices = size;
    ncclUniqueId id;
    ncclGetUniqueId(&id);
    std::vector<std::string> threw(static_cast<std::size_t>(size));
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < size; ++i)
            threads.emplace_back([&, i] {
                cudaSetDevice(i);
                try {
                    rank(id, i);
                } catch (const std::exception& e) {
                    threw[static_cast<std::size_t>(i)] = e.what();
                }
            });
    }
    for (const auto& what : threw)
        CHECK(what == "");
    for (int tries = 0; tries < 1000 && simulated::nccl.alive > 0; ++tries)
        std::this_thread::sleep_for(1ms); // some are aborted by threads that nobody waits for
    CHECK(simulated::nccl.alive == 0);
    CHECK(simulated::nccl.misused == 0);
    simulated::devices = 1;
}

/// What a function says when it throws an `nccl_error`.
std::string told_by(const std::function<void()>& f)
{
    try {
        f();
    } catch (const sdp::nccl_error& e) {
        return e.what();
    }
    return "";
}

bool says(const std::string& text, const std::string& part)
{
    return text.find(part) != std::string::npos;
}

/// A worker with a parameter that all train, and its gradient.
class trainer {
public:
    static constexpr sdp::index_t size = 64;

    explicit trainer(const sdp::nccl_communicator& comm, sdp::synchronizer_options options = {})
        : gradient_(static_cast<std::size_t>(size * size))
        , net_(rows(), sdp::neuron_partition {.coverage = 1}, sdp::forward_masking {}, comm, options)
    {
        gradient_.set(std::vector<float>(static_cast<std::size_t>(size * size), static_cast<float>(net_.rank())));
        sdp::tensor_view view;
        view.data = gradient_.data();
        view.shape = {size, size};
        view.strides = sdp::row_major_strides(view.shape);
        view.space = sdp::memory_space::cuda;
        net_.bind_gradient(sdp::parameter_id(0), view);
    }

    void step() { net_.synchronize(); }
    double norm() { return net_.gradient_norm(); }
    [[nodiscard]] std::vector<float> gradient() const { return gradient_.get(); }
    [[nodiscard]] auto& net() { return net_; }

private:
    static sdp::model rows()
    {
        sdp::model m;
        m.add_parameter("rows", {size, size}, {.axes = {{0, m.add_group("neurons", size)}}});
        return m;
    }

    support::device_floats gradient_; ///< goes last: freeing waits for the device, as long as that waits for peers
    sdp::data_parallel<sdp::neuron_partition, sdp::forward_masking, sdp::nccl_communicator> net_;
};

} // namespace

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
        sdp::cuda::check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
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

TEST_CASE("ranks that do not come to make a communicator are waited for so long")
{
    std::string told;
    run_ranks(3, [&](const ncclUniqueId& id, int rank) {
        if (rank == 2)
            return;
        const auto text
            = told_by([&] { static_cast<void>(sdp::nccl_communicator::create(id, rank, 3, nullptr, {.timeout = 50ms})); });
        if (rank == 1)
            told = text;
    });
    CHECK(told == "rank 1 waited 50 ms for all 3 ranks to make their NCCL communicator");
    CHECK(says(told_by([&] { static_cast<void>(sdp::nccl_communicator::create({}, 3, 3, nullptr)); }), "invalid argument"));
}

TEST_CASE("a rank that is gone before the first exchange is named, inside NCCL's own wait")
{
    run_ranks(2, [&](const ncclUniqueId& id, int rank) {
        std::optional comm(sdp::nccl_communicator::create(id, rank, 2, nullptr, {.timeout = 100ms}));
        if (rank == 0) {
            const support::device_floats data(1);
            const std::array messages {sdp::outgoing {1, data.data(), data.bytes()}};
            CHECK(told_by([&] { comm->exchange_on_stream(messages, {}); })
                == "rank 0 waited 100 ms for an exchange with rank 1 to begin");
            CHECK(comm->aborted());
            CHECK(says(told_by([&] { comm->exchange_on_stream(messages, {}); }), "was aborted"));
            CHECK(says(told_by([&] { comm->check(); }), "was aborted"));
        }
    });
}

TEST_CASE("a rank that makes no more steps is named by who waits, and nothing hangs")
{
    run_ranks(3, [&](const ncclUniqueId& id, int rank) {
        auto comm = sdp::nccl_communicator::create(id, rank, 3, nullptr, {.timeout = 300ms});
        trainer t(comm);
        t.step();
        static_cast<void>(t.norm());
        if (rank == 2)
            return;
        const auto told = told_by([&] {
            t.step();
            static_cast<void>(t.norm());
        });
        // What the others wait for may also be each other, once one has given up.
        CHECK(says(told, "rank " + std::to_string(rank) + " waited 300 ms for an exchange with rank"));
        CHECK(says(told, "2"));
        CHECK(comm.aborted());
        CHECK(says(told_by([&] { t.step(); }), "was aborted"));
    });
}

TEST_CASE("only those are named that an exchange is with, however many came before, captured ones too")
{
    run_ranks(3, [&](const ncclUniqueId& id, int rank) {
        const sdp::cuda::stream stream;
        auto comm = sdp::nccl_communicator::create(id, rank, 3, stream.get(), {.timeout = 200ms});
        const support::device_floats data(1);
        const auto send = [&](int peer) {
            const std::array<sdp::outgoing, 1> out {{{peer, data.data(), data.bytes()}}};
            comm.exchange_on_stream(out, {});
        };
        const auto receive = [&] {
            const std::array<sdp::incoming, 1> in {{{0, data.data(), data.bytes()}}};
            comm.exchange_on_stream({}, in);
        };
        const auto read = [&] {
            float number = 0;
            comm.executor().read(&number, reinterpret_cast<const std::byte*>(data.data()), sizeof number);
        };
        for (int i = 0; i < 130 && rank < 2; ++i)
            rank == 0 ? send(1) : receive();
        CHECK(support::flaw_of_captured_step(comm, stream.get()) == "");
        if (rank == 2)
            receive();
        if (rank == 0) {
            send(2);
            read();
            send(2); // which it does not receive
            CHECK(told_by(read) == "rank 0 waited 200 ms for an exchange with rank 2");
        }
    });
}

TEST_CASE("with a graph that lives on, a lost rank is named all the same, and the communicator goes after the graph")
{
    for (const bool blocking : {false, true})
        run_ranks(2, [&](const ncclUniqueId& id, int rank) {
            const sdp::cuda::stream stream;
            cudaGraphExec_t replay = nullptr;
            {
                auto comm = sdp::nccl_communicator::create(
                    id, rank, 2, stream.get(), {.timeout = rank == 0 ? 200ms : 10s, .blocking = blocking});
                trainer t(comm);
                t.step();
                sdp::cuda::check(cudaStreamSynchronize(stream.get()), "cudaStreamSynchronize");
                {
                    support::capture captured(stream.get());
                    t.step();
                    sdp::cuda::check(cudaGraphInstantiateWithFlags(&replay, captured.end(), 0), "cudaGraphInstantiateWithFlags");
                }
                sdp::cuda::check(cudaGraphLaunch(replay, stream.get()), "cudaGraphLaunch");
                sdp::cuda::check(cudaStreamSynchronize(stream.get()), "cudaStreamSynchronize");
                if (rank == 1) {
                    cudaGraphExecDestroy(replay); // in time
                    return;
                }
                t.step(); // which rank 1 does not make
                CHECK(told_by([&] { static_cast<void>(t.norm()); }) == "rank 0 waited 200 ms for an exchange with rank 1");
            }
            cudaGraphExecDestroy(replay);
        });
}

TEST_CASE("who runs ahead is held up where a stream would be, with an end, and the first exchange is named")
{
    run_ranks(3, [&](const ncclUniqueId& id, int rank) {
        auto comm = sdp::nccl_communicator::create(id, rank, 3, nullptr, {.timeout = 200ms});
        const support::device_floats data(1);
        const auto send = [&](int peer) {
            const std::array<sdp::outgoing, 1> out {{{peer, data.data(), data.bytes()}}};
            comm.exchange_on_stream(out, {});
        };
        const std::array<sdp::incoming, 1> in {{{0, data.data(), data.bytes()}}};
        if (rank > 0) {
            comm.exchange_on_stream({}, in);
            return;
        }
        send(1);
        send(2);
        int more = 0;
        const auto told = told_by([&] {
            for (send(1); more < 10'000; ++more)
                send(2);
        });
        CHECK(told == "rank 0 waited 200 ms for an exchange with rank 1");
        CHECK(more > 100);
        CHECK(more < 200);
    });
}

TEST_CASE("a communicator can be attached while it is being made")
{
    run_ranks(2, [&](const ncclUniqueId& id, int rank) {
        ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
        config.blocking = 0;
        ncclComm_t handle = nullptr;
        if (rank == 1)
            std::this_thread::sleep_for(20ms);
        REQUIRE(ncclCommInitRankConfig(&handle, 2, id, rank, &config) == ncclInProgress);
        {
            trainer t(sdp::nccl_communicator::attach(handle, nullptr));
            t.step();
            CHECK(t.gradient().front() == 0.5F);
        }
        CHECK(ncclCommDestroy(handle) == ncclSuccess);
    });
}

TEST_CASE("an error that NCCL finds meanwhile comes with the next call, and an attached communicator is freed once")
{
    run_ranks(2, [&](const ncclUniqueId& id, int rank) {
        ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
        config.blocking = 1;
        ncclComm_t handle = nullptr;
        REQUIRE(ncclCommInitRankConfig(&handle, 2, id, rank, &config) == ncclSuccess);
        {
            auto comm = sdp::nccl_communicator::attach(handle, nullptr, {.timeout = 10s});
            trainer t(comm);
            t.step();
            static_cast<void>(t.norm());
            CHECK(t.gradient().front() == 0.5F);
            if (rank == 1) {
                simulated::fail(handle, ncclRemoteError);
                const auto told = told_by([&] { t.step(); });
                CHECK(says(told, "rank 1: NCCL has failed in an exchange with"));
                CHECK(says(told, "remote error"));
            } else {
                comm.abort();
            }
            CHECK(comm.aborted());
        }
    });
    run_ranks(1, [&](const ncclUniqueId& id, int) {
        ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
        config.blocking = 1;
        ncclComm_t handle = nullptr;
        REQUIRE(ncclCommInitRankConfig(&handle, 1, id, 0, &config) == ncclSuccess);
        {
            trainer t(sdp::nccl_communicator::attach(handle, nullptr));
            t.step();
        }
        CHECK(ncclCommDestroy(handle) == ncclSuccess); // whoever made it frees it
    });
}

TEST_CASE("a communicator that goes waits for what is on its stream")
{
    run_ranks(2, [&](const ncclUniqueId& id, int rank) {
        support::device_floats data(1);
        const std::vector<float> number {static_cast<float>(5 - rank)};
        data.set(number);
        {
            auto comm = sdp::nccl_communicator::create(id, rank, 2, nullptr);
            const std::array<sdp::outgoing, 1> out {{{1, data.data(), data.bytes()}}};
            const std::array<sdp::incoming, 1> in {{{0, data.data(), data.bytes()}}};
            for (const auto late : {0ms, 50ms}) { // the second time they are in touch, so that rank 0 does not wait in the call
                if (rank == 1)
                    std::this_thread::sleep_for(late);
                if (rank == 0)
                    comm.exchange_on_stream(out, {});
                else
                    comm.exchange_on_stream({}, in);
            }
        }
        CHECK(data.get().front() == 5);
    });
}

TEST_CASE("an exception with work on the stream frees the communicator without waiting for peers")
{
    const auto begin = std::chrono::steady_clock::now();
    run_ranks(2, [&](const ncclUniqueId& id, int rank) {
        try {
            trainer t(sdp::nccl_communicator::create(id, rank, 2, nullptr, {.timeout = 1min}));
            t.step();
            static_cast<void>(t.norm());
            if (rank == 1)
                return;
            t.step(); // which rank 1 does not make
            throw sdp::error("the host's own");
        } catch (const sdp::nccl_error&) {
            FAIL_CHECK("not the host's own");
        } catch (const sdp::error&) {
        }
    });
    CHECK(std::chrono::steady_clock::now() - begin < 30s);
}
