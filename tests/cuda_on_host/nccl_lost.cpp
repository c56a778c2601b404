// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief Ranks that do not come, or come no more, errors that NCCL finds late, and what is left of a communicator then.

#include "run_ranks.hpp"

#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <vector>

using namespace simulated;
using namespace std::chrono_literals;

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
            CHECK(says(told_by([&] { comm->throw_if_failed(); }), "was aborted"));
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
        // The others may also wait for each other, once one has given up.
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
                sdp::cuda::check_call(cudaStreamSynchronize(stream.get()), "cudaStreamSynchronize");
                {
                    support::capture captured(stream.get());
                    t.step();
                    sdp::cuda::check_call(
                        cudaGraphInstantiateWithFlags(&replay, captured.end(), 0), "cudaGraphInstantiateWithFlags");
                }
                sdp::cuda::check_call(cudaGraphLaunch(replay, stream.get()), "cudaGraphLaunch");
                sdp::cuda::check_call(cudaStreamSynchronize(stream.get()), "cudaStreamSynchronize");
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
        } catch (const sdp::peer_error&) {
            FAIL_CHECK("not the host's own");
        } catch (const sdp::error&) {
        }
    });
    CHECK(std::chrono::steady_clock::now() - begin < 30s);
}
