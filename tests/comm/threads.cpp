// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <support/allocation_counter.hpp>

#include <comm/conformance.hpp>

#include <sdp/comm/threads.hpp>

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

static_assert(sdp::communicator<sdp::thread_communicator>);
static_assert(sdp::abortable<sdp::thread_communicator>);
static_assert(!sdp::ordered_exchange<sdp::thread_communicator>);
static_assert(sdp::peer_memory<sdp::thread_communicator>);
static_assert(!sdp::native_all_reduce<sdp::thread_communicator>);

using namespace std::chrono_literals;
using conformance::patience;
using conformance::refuses;

namespace {

/// Waits for four bytes that `peer` may never send.
void wait_for(sdp::thread_communicator c, int peer, sdp::exchange_tag tag = 1)
{
    int value = 0;
    const std::array<sdp::incoming, 1> receive {{{peer, &value, sizeof value}}};
    c.exchange(tag, {}, receive).wait(patience);
}

struct own_failure : std::runtime_error {
    using std::runtime_error::runtime_error;
    int code = 17;
};

} // namespace

TEST_CASE("threads conform")
{
    conformance::suite([](auto scenario) {
        for (const int world : {1, 2, 3, 4, 8})
            sdp::run_workers(world, scenario);
    });
}

TEST_CASE("a group without workers is refused")
{
    for (const int world : {0, -3})
        CHECK(refuses<sdp::error>(
            [&] { sdp::run_workers(world, [](sdp::thread_communicator) {}); }, {std::to_string(world), "at least 1"}));
    const sdp::thread_group group(2);
    CHECK(refuses<sdp::error>([&] { (void)group.communicator(2); }, {"rank 2", "0 to 1"}));
    CHECK(refuses<sdp::error>([&] { (void)group.communicator(-1); }, {"rank -1"}));
}

TEST_CASE("every worker runs once, with its rank, on a thread of its own")
{
    std::array<std::atomic<int>, 6> runs {};
    std::array<std::thread::id, 6> threads;
    sdp::run_workers(6, [&](sdp::thread_communicator c) {
        const auto rank = static_cast<std::size_t>(c.rank());
        ++runs[rank];
        threads[rank] = std::this_thread::get_id();
        CHECK(c.size() == 6);
        CHECK(c.group().size() == 6);
    });
    for (const auto& count : runs)
        CHECK(count == 1);
    for (std::size_t i = 0; i < threads.size(); ++i)
        for (std::size_t j = 0; j < i; ++j)
            CHECK(threads[i] != threads[j]);
}

TEST_CASE("a failing worker ends the others, and what it threw comes out")
{
    for (const int failing : {0, 2, 4}) {
        std::atomic<int> aborted = 0;
        try {
            sdp::run_workers(5, [&](sdp::thread_communicator c) {
                if (c.rank() == failing)
                    throw own_failure("the disk is full");
                // Everyone else waits for the failing worker, or for one that waits for it.
                const bool named = refuses<sdp::aborted_error>(
                    [&] { wait_for(c, (c.rank() + 1) % c.size()); }, {"rank " + std::to_string(failing) + " has failed"});
                aborted += named ? 1 : 0;
                CHECK(conformance::blames<sdp::aborted_error>([&] { wait_for(c, failing); }, c.rank(), failing));
                wait_for(c, failing); // and a new exchange does not start either
            });
            FAIL_CHECK("nothing was thrown");
        } catch (const own_failure& failure) {
            CHECK(std::string(failure.what()) == "the disk is full");
            CHECK(failure.code == 17);
        }
        CHECK(aborted == 4);
    }
}

TEST_CASE("what is thrown need not be an exception class")
{
    try {
        sdp::run_workers(3, [](sdp::thread_communicator c) {
            if (c.rank() == 1)
                throw 42;
            wait_for(c, 1);
        });
        FAIL_CHECK("nothing was thrown");
    } catch (int value) {
        CHECK(value == 42);
    }
}

TEST_CASE("a worker that fails with an exchange under way is the cause, and not those that it leaves behind")
{
    for (int attempt = 0; attempt < 50; ++attempt)
        CHECK_THROWS_AS(sdp::run_workers(4,
                            [](sdp::thread_communicator c) {
                                if (c.rank() != 2)
                                    wait_for(c, 2);
                                int value = 0;
                                const std::array<sdp::incoming, 1> receive {{{0, &value, sizeof value}}};
                                auto pending = c.exchange(1, {}, receive);
                                throw own_failure("with an exchange under way");
                            }),
            own_failure);
}

TEST_CASE("a failure reaches workers that only test")
{
    CHECK_THROWS_AS(sdp::run_workers(3,
                        [](sdp::thread_communicator c) {
                            if (c.rank() == 0) {
                                std::this_thread::sleep_for(20ms);
                                throw own_failure("late");
                            }
                            int value = 0;
                            const std::array<sdp::incoming, 1> receive {{{0, &value, sizeof value}}};
                            auto pending = c.exchange(1, {}, receive);
                            CHECK(refuses<sdp::aborted_error>(
                                [&] {
                                    while (!pending.test())
                                        std::this_thread::yield();
                                },
                                {"rank 0"}));
                        }),
        own_failure);
}

TEST_CASE("abort ends every wait and names the rank that called it")
{
    std::atomic<int> aborted = 0;
    sdp::run_workers(4, [&](sdp::thread_communicator c) {
        if (c.rank() == 3)
            c.abort();
        aborted += refuses<sdp::aborted_error>([&] { wait_for(c, (c.rank() + 1) % 4); }, {"rank 3"}) ? 1 : 0;
        CHECK(c.group().failing_rank() == 3);
    });
    CHECK(aborted == 4);

    // If nobody throws anything else, `run_workers` throws the abort itself.
    CHECK_THROWS_AS(sdp::run_workers(2,
                        [](sdp::thread_communicator c) {
                            if (c.rank() == 0)
                                c.abort();
                            else
                                wait_for(c, 0);
                        }),
        sdp::aborted_error);
}

TEST_CASE("a completed exchange stays complete when the group is aborted")
{
    sdp::run_workers(2, [](sdp::thread_communicator c) {
        int out = c.rank();
        int in = -1;
        const std::array<sdp::outgoing, 1> send {{{1 - c.rank(), &out, sizeof out}}};
        const std::array<sdp::incoming, 1> receive {{{1 - c.rank(), &in, sizeof in}}};
        auto pending = c.exchange(1, send, receive);
        pending.wait(patience);
        c.abort();
        CHECK(pending.test());
        pending.wait(0ms);
        CHECK(in == 1 - c.rank());
    });
}

TEST_CASE("who waits for a worker that has returned learns that it left")
{
    for (const bool sends : {false, true}) {
        const auto run = [&] {
            sdp::run_workers(3, [&](sdp::thread_communicator c) {
                if (c.rank() == 1)
                    return;
                int value = 0;
                const std::array<sdp::outgoing, 1> send {{{1, &value, sizeof value}}};
                const std::array<sdp::incoming, 1> receive {{{1, &value, sizeof value}}};
                auto pending = sends ? c.exchange(6, send, {}) : c.exchange(6, {}, receive);
                pending.wait(patience);
            });
        };
        const auto direction = sends ? "to send to" : "to receive from";
        CHECK(refuses<sdp::error>(run, {"rank 1 has left", "tag 6", "4 bytes", direction}));
    }
}

TEST_CASE("what a worker posted before it left still arrives")
{
    for (int attempt = 0; attempt < 200; ++attempt) {
        std::array<int, 2> data {1, 2}; // outlives both workers
        std::array<int, 2> heard {};
        std::optional<sdp::thread_exchange> outlives;
        sdp::run_workers(2, [&](sdp::thread_communicator c) {
            if (c.rank() == 0) {
                const std::array<sdp::outgoing, 1> send {{{1, data.data(), sizeof data}}};
                outlives.emplace(c.exchange(1, send, {}));
            } else {
                const std::array<sdp::incoming, 1> receive {{{0, heard.data(), sizeof heard}}};
                c.exchange(1, {}, receive).wait(patience);
            }
        });
        CHECK(heard == data);
        CHECK(outlives->test());
    }
}

TEST_CASE("abort ends the wait for a peer in memory")
{
    std::atomic<int> ended = 0;
    CHECK_THROWS_AS(sdp::run_workers(3,
                        [&](sdp::thread_communicator c) {
                            const auto segment = c.share(64);
                            if (c.rank() == 2) {
                                std::this_thread::sleep_for(20ms); // most likely the others sleep by now
                                throw own_failure("no reason");
                            }
                            const auto never = [&] {
                                auto* const there = segment.of(2);
                                return there != nullptr && conformance::counter(there).load(std::memory_order_acquire) > 0;
                            };
                            CHECK(refuses<sdp::aborted_error>(
                                [&] { segment.wait(2, never, patience); }, {"rank " + std::to_string(c.rank()), "rank 2"}));
                            ++ended;
                        }),
        own_failure);
    CHECK(ended == 2);
}

TEST_CASE("a peer that has left brings nothing about in memory any more, but what it did stays")
{
    sdp::run_workers(2, [&](sdp::thread_communicator c) {
        const auto segment = c.share(128);
        auto* const mine = segment.of(c.rank());
        if (c.rank() == 1) {
            reinterpret_cast<std::uint64_t*>(mine)[1] = 77;
            conformance::counter(mine).store(1, std::memory_order_release);
            segment.notify();
            return; // its handle on the memory goes, the memory does not
        }
        const auto said = [&](std::uint64_t what) {
            return [&, what] {
                auto* const there = segment.of(1);
                return there != nullptr && conformance::counter(there).load(std::memory_order_acquire) >= what;
            };
        };
        segment.wait(1, said(1), patience);
        CHECK(reinterpret_cast<const std::uint64_t*>(segment.of(1))[1] == 77);
        CHECK(refuses<sdp::peer_error>([&] { segment.wait(1, said(2), patience); }, {"rank 0", "rank 1", "left"}));
        CHECK(conformance::blames<sdp::peer_error>([&] { segment.wait(1, said(2), patience); }, 0, 1));
        CHECK(said(1)());
    });
}

TEST_CASE("giving up an exchange ends the group instead of mixing up messages")
{
    int late = 0;
    CHECK(refuses<sdp::aborted_error>(
        [&] {
            sdp::run_workers(2, [&](sdp::thread_communicator c) {
                if (c.rank() == 0) {
                    const std::array<sdp::incoming, 1> receive {{{1, &late, sizeof late}}};
                    (void)c.exchange(1, {}, receive); // destroyed at once
                } else {
                    while (c.group().failing_rank() < 0)
                        std::this_thread::yield();
                    const int value = 5;
                    const std::array<sdp::outgoing, 1> send {{{0, &value, sizeof value}}};
                    c.exchange(1, send, {}).wait(patience);
                }
            });
        },
        {"rank 0"}));
    CHECK(late == 0); // the memory was ours again
}

TEST_CASE("giving up races with the other end that copies")
{
    // Whatever comes first, a buffer is never touched after its exchange is gone: for the sanitizers to see.
    for (int attempt = 0; attempt < 300; ++attempt)
        try {
            sdp::run_workers(2, [&](sdp::thread_communicator c) {
                const std::size_t size = 1 + static_cast<std::size_t>(attempt) * 97;
                std::vector<char> data(size, 'x');
                const std::array<sdp::outgoing, 1> send {{{1 - c.rank(), data.data(), size}}};
                const std::array<sdp::incoming, 1> receive {{{1 - c.rank(), data.data(), size}}};
                auto pending = c.rank() == 0 ? c.exchange(1, send, {}) : c.exchange(1, {}, receive);
                if (c.rank() == attempt % 2)
                    pending.wait(patience);
                else
                    pending = {};
            });
        } catch (const sdp::aborted_error&) {
        }
}

TEST_CASE("both ends of a message learn that its sizes differ")
{
    std::atomic<int> told = 0;
    sdp::run_workers(2, [&](sdp::thread_communicator c) {
        std::array<char, 80> data {};
        const std::array<sdp::outgoing, 1> send {{{1, data.data(), 80}}};
        const std::array<sdp::incoming, 1> receive {{{0, data.data(), 64}}};
        auto pending = c.rank() == 0 ? c.exchange(4, send, {}) : c.exchange(4, {}, receive);
        told += refuses<sdp::error>(
                    [&] { pending.wait(patience); }, {"from rank 0 to rank 1", "tag 4", "has 80 bytes", "expects 64"})
            ? 1
            : 0;
    });
    CHECK(told == 2);
}

TEST_CASE("a limit may be as long as the type allows, or nothing")
{
    sdp::run_workers(2, [](sdp::thread_communicator c) {
        int value = c.rank();
        const std::array<sdp::outgoing, 1> send {{{1, &value, sizeof value}}};
        const std::array<sdp::incoming, 1> receive {{{0, &value, sizeof value}}};
        if (c.rank() == 0) {
            std::this_thread::sleep_for(20ms);
            c.exchange(1, send, {}).wait(std::chrono::milliseconds::max());
        } else {
            auto pending = c.exchange(1, {}, receive);
            CHECK_THROWS_AS(pending.wait(0ms), sdp::timeout_error);
            CHECK_THROWS_AS(pending.wait(-5ms), sdp::timeout_error);
            pending.wait(std::chrono::milliseconds::max());
            CHECK(value == 0);
        }
    });
}

TEST_CASE("the threads may be the caller's own, and one rank may use several")
{
    const sdp::thread_group group(2);
    constexpr int per_rank = 3;
    std::array<std::array<int, per_rank>, 2> heard {};
    {
        std::vector<std::jthread> threads;
        for (int rank = 0; rank < 2; ++rank)
            for (int lane = 0; lane < per_rank; ++lane)
                threads.emplace_back([&, rank, lane] {
                    const auto c = group.communicator(rank);
                    for (int round = 0; round < 300; ++round) {
                        const int out = 1000 * rank + 10 * round + lane;
                        int in = -1;
                        const std::array<sdp::outgoing, 1> send {{{1 - rank, &out, sizeof out}}};
                        const std::array<sdp::incoming, 1> receive {{{1 - rank, &in, sizeof in}}};
                        c.exchange(lane, send, receive).wait(patience);
                        if (in == 1000 * (1 - rank) + 10 * round + lane)
                            ++heard[static_cast<std::size_t>(rank)][static_cast<std::size_t>(lane)];
                    }
                });
    }
    for (const auto& counts : heard)
        for (const int count : counts)
            CHECK(count == 300);
}

TEST_CASE("groups do not hear each other")
{
    const sdp::thread_group inner(2);
    sdp::run_workers(2, [&](sdp::thread_communicator outer) {
        const auto c = inner.communicator(outer.rank());
        const std::array<int, 2> out {outer.rank(), 10 + outer.rank()};
        std::array<int, 2> in {-1, -1};
        const int peer = 1 - outer.rank();
        const std::array<sdp::incoming, 1> in_outer {{{peer, &in[0], sizeof(int)}}};
        const std::array<sdp::incoming, 1> in_inner {{{peer, &in[1], sizeof(int)}}};
        const std::array<sdp::outgoing, 1> out_outer {{{peer, &out[0], sizeof(int)}}};
        const std::array<sdp::outgoing, 1> out_inner {{{peer, &out[1], sizeof(int)}}};
        auto first = outer.rank() == 0 ? outer.exchange(1, out_outer, in_outer) : c.exchange(1, out_inner, in_inner);
        auto second = outer.rank() == 0 ? c.exchange(1, out_inner, in_inner) : outer.exchange(1, out_outer, in_outer);
        first.wait(patience);
        second.wait(patience);
        CHECK(in[0] == peer);
        CHECK(in[1] == 10 + peer);
    });
}

TEST_CASE("an unfinished exchange may outlive every handle of its group")
{
    int value = 7;
    std::optional<sdp::thread_group> group(2);
    const std::array<sdp::outgoing, 1> send {{{1, &value, sizeof value}}};
    auto pending = group->communicator(0).exchange(1, send, {});
    group.reset();
    CHECK_FALSE(pending.test());
    pending = {};
    CHECK(pending.test());
}

TEST_CASE("no memory is allocated once the first exchanges are through")
{
    std::array<long, 4> made {-1, -1, -1, -1};
    sdp::run_workers(4, [&](sdp::thread_communicator c) {
        std::array<std::array<char, 500>, 8> buffers {};
        std::vector<sdp::outgoing> sends;
        std::vector<sdp::incoming> receives;
        for (int peer = 0; peer < 4; ++peer)
            if (peer != c.rank()) {
                sends.push_back({peer, buffers[static_cast<std::size_t>(peer)].data(), 500});
                receives.push_back({peer, buffers[static_cast<std::size_t>(4 + peer)].data(), 500});
            }
        const auto round = [&] {
            auto first = c.exchange(1, sends, {});
            auto second = c.exchange(2, {}, {});
            auto third = c.exchange(1, {}, receives);
            (void)first.test();
            third.wait(patience);
            first.wait(patience);
        };
        round();
        made[static_cast<std::size_t>(c.rank())] = support::allocations_of([&] {
            for (int i = 0; i < 500; ++i)
                round();
        });
    });
    for (const auto count : made)
        CHECK(count == 0);
}
