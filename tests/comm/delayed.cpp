// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <comm/conformance.hpp>
#include <support/archetypes.hpp>
#include <support/delayed_communicator.hpp>

#include <sdp/comm/threads.hpp>

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <ctime>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using conformance::patience;
using support::delayed_communicator;

static_assert(sdp::communicator<delayed_communicator<sdp::thread_communicator>>);
static_assert(sdp::abortable<delayed_communicator<sdp::thread_communicator>>);
static_assert(!sdp::ordered_exchange<delayed_communicator<sdp::thread_communicator>>);
static_assert(sdp::ordered_exchange<delayed_communicator<archetypes::ordered_communicator>>);
static_assert(!sdp::abortable<delayed_communicator<archetypes::minimal_communicator>>);

namespace {

using clock_type = std::chrono::steady_clock;

[[nodiscard]] std::chrono::nanoseconds cpu_time()
{
    std::timespec now {};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

/// Two workers send each other `values` at once.
struct pair_of_messages {
    std::vector<int> out, in;

    pair_of_messages(std::size_t values, int rank)
        : out(values, rank + 1)
        , in(values, 0)
    {
    }
    [[nodiscard]] auto start(auto& comm)
    {
        const int peer = 1 - comm.rank();
        const std::array<sdp::outgoing, 1> send {{{peer, out.data(), out.size() * sizeof(int)}}};
        const std::array<sdp::incoming, 1> receive {{{peer, in.data(), in.size() * sizeof(int)}}};
        return comm.exchange(7, send, receive);
    }
    [[nodiscard]] bool arrived(int rank) const { return in == std::vector<int>(in.size(), 2 - rank); }
};

} // namespace

TEST_CASE("a delayed communicator conforms")
{
    for (const int world : {1, 2, 4})
        sdp::run_workers(world, [](sdp::thread_communicator c) {
            const delayed_communicator comm(c, {std::chrono::microseconds(20), 1e10});
            conformance::knows_its_place(comm);
            conformance::nothing_to_exchange(comm);
            conformance::ring(comm);
            conformance::copies(comm);
            conformance::sparse_traffic(comm);
            conformance::any_order_of_posting(comm);
            conformance::equal_tags_keep_their_order(comm);
            conformance::many_rounds(comm, 100);
            conformance::ill_formed_arguments(comm);
        });
}

TEST_CASE("no message is there before its time")
{
    std::array<std::array<clock_type::time_point, 2>, 2> started; // by way of waiting and rank
    sdp::run_workers(2, [&](sdp::thread_communicator inner) {
        delayed_communicator comm(inner, {20ms, 1e9});
        const auto rank = static_cast<std::size_t>(comm.rank());
        for (const bool by_test : {false, true}) {
            auto& start = started[by_test ? 1 : 0];
            pair_of_messages m(1000, comm.rank());
            start[rank] = clock_type::now();
            auto pending = m.start(comm);
            if (by_test)
                while (!pending.test())
                    std::this_thread::sleep_for(1ms);
            else
                pending.wait(patience);
            CHECK(clock_type::now() - start[1 - rank] >= 20ms);
            CHECK(m.arrived(comm.rank()));
            CHECK(pending.test());
        }
        CHECK(comm.counters().posted == 2);
        CHECK(comm.counters().arrived == 2);
        CHECK(comm.counters().fruitless > 0);
    });
}

TEST_CASE("the time of a message counts from its sender's call, and messages leave one behind the other")
{
    const auto start = clock_type::now();
    sdp::run_workers(2, [start](sdp::thread_communicator inner) {
        delayed_communicator comm(inner, {10ms, 4e6}); // 4000 bytes take 1 ms
        pair_of_messages first(10'000, comm.rank()), second(10'000, comm.rank());
        if (comm.rank() == 0)
            std::this_thread::sleep_for(30ms);
        auto a = first.start(comm);
        auto b = second.start(comm);
        a.wait(patience);
        CHECK(clock_type::now() - start >= (comm.rank() == 1 ? 50ms : 20ms));
        b.wait(patience);
        CHECK(clock_type::now() - start >= (comm.rank() == 1 ? 60ms : 50ms));
        CHECK(first.arrived(comm.rank()));
        CHECK(second.arrived(comm.rank()));
    });
}

TEST_CASE("who waits for a delayed message sleeps, and gives up after its limit")
{
    sdp::run_workers(2, [](sdp::thread_communicator inner) {
        delayed_communicator comm(inner, {200ms, 1e9});
        pair_of_messages m(10, comm.rank());
        auto pending = m.start(comm);
        const auto before = cpu_time();
        CHECK(conformance::refuses<sdp::timeout_error>([&] { pending.wait(50ms); }, {"delayed link", "50 ms"}));
        pending.wait(patience);
        CHECK(cpu_time() - before < 50ms);
        CHECK(m.arrived(comm.rank()));
    });
}
