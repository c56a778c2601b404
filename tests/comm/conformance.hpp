// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Requirements on every communicator. Each function runs on all workers of a group, with a fresh communicator.
///
/// The traffic comes from a script that every worker computes for itself; what has to arrive where is worked out by a
/// sequential model of the matching rule, which knows nothing of threads or processes.

#include <doctest/doctest.h>
#include <sdp/comm/communicator.hpp>
#include <sdp/error.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

namespace conformance {

using namespace std::chrono_literals;

/// Long enough that only a hang reaches it.
inline constexpr auto patience = std::chrono::milliseconds(60s);

using bytes = std::vector<std::uint8_t>;

/// Fills with bytes that differ between messages and along one.
inline void paint(std::span<std::uint8_t> out, std::uint32_t id)
{
    auto state = id * 2654435761U + 1U;
    for (auto& byte : out) {
        state = state * 1664525U + 1013904223U;
        byte = static_cast<std::uint8_t>(state >> 24U);
    }
}

[[nodiscard]] inline bytes painted(std::size_t size, std::uint32_t id)
{
    bytes out(size);
    paint(out, id);
    return out;
}

/// True when `action` throws an `Error` whose sentence has all the words.
template <class Error, class F> [[nodiscard]] bool refuses(F&& action, std::initializer_list<std::string> words)
{
    try {
        action();
    } catch (const Error& failure) {
        const std::string sentence = failure.what();
        const auto missing
            = std::ranges::find_if(words, [&](const auto& word) { return sentence.find(word) == std::string::npos; });
        if (missing != words.end())
            MESSAGE("the sentence '" << sentence << "' lacks '" << *missing << "'");
        return missing == words.end();
    }
    return false;
}

/// True when `action` throws an `Error` that says as data that `rank` cannot go on because of `peer`.
template <class Error, class F> [[nodiscard]] bool blames(F&& action, int rank, int peer)
{
    try {
        action();
    } catch (const Error& failure) {
        const sdp::peer_error& what = failure;
        return what.rank() == rank && what.peer() == peer;
    }
    return false;
}

/// One exchange on one rank, as the script has it.
struct scripted_exchange {
    struct message {
        int peer;
        std::size_t size;
        std::uint32_t id;
    };
    sdp::exchange_tag tag = 0;
    std::vector<message> sends;
    std::vector<message> receives; ///< the id is filled in by `deliver`
};

/// Per rank, its exchanges in the order in which it posts them.
using script = std::vector<std::vector<scripted_exchange>>;

/// The sequential reference: messages equal in sender, receiver and tag are matched in order of posting.
inline void deliver(script& all)
{
    using route = std::tuple<int, int, sdp::exchange_tag>;
    std::map<route, std::deque<std::uint32_t>> under_way;
    for (std::size_t rank = 0; rank < all.size(); ++rank)
        for (const auto& exchange : all[rank])
            for (const auto& send : exchange.sends)
                under_way[{static_cast<int>(rank), send.peer, exchange.tag}].push_back(send.id);
    for (std::size_t rank = 0; rank < all.size(); ++rank)
        for (auto& exchange : all[rank])
            for (auto& receive : exchange.receives) {
                auto& queue = under_way.at({receive.peer, static_cast<int>(rank), exchange.tag});
                receive.id = queue.front();
                queue.pop_front();
            }
}

struct traffic_shape {
    int exchanges = 40;
    int tags = 8;
    std::size_t largest = 3000;
    std::uint32_t density = 60; ///< percent of the pairs that have a message
    bool shuffled = true; ///< every rank posts in an order of its own, equal tags apart
};

/// Random sparse traffic, the same on every rank.
[[nodiscard]] inline script random_traffic(int world, std::uint32_t seed, const traffic_shape& shape)
{
    std::mt19937 random(seed);
    script all(static_cast<std::size_t>(world), std::vector<scripted_exchange>(static_cast<std::size_t>(shape.exchanges)));
    std::uint32_t id = 0;
    for (std::size_t step = 0; step < static_cast<std::size_t>(shape.exchanges); ++step) {
        const auto tag = static_cast<int>(random() % static_cast<std::uint32_t>(shape.tags));
        for (auto& rank : all)
            rank[step].tag = tag;
        for (int sender = 0; sender < world; ++sender)
            for (int receiver = 0; receiver < world; ++receiver) {
                if (sender == receiver || random() % 100 >= shape.density)
                    continue;
                // Mostly small, some at the full size: the ways through an implementation differ by size.
                const auto most = random() % 4 == 0 ? shape.largest : std::size_t(64);
                const auto size = 1 + random() % most;
                all[static_cast<std::size_t>(sender)][step].sends.push_back({receiver, size, ++id});
                all[static_cast<std::size_t>(receiver)][step].receives.push_back({sender, size, 0});
            }
    }
    if (shape.shuffled)
        for (auto& rank : all) {
            std::vector<std::size_t> order(rank.size());
            for (std::size_t i = 0; i < order.size(); ++i)
                std::swap(order[i] = i, order[random() % (i + 1)]);
            // Exchanges of one tag keep their order among each other; whole positions are dealt out at random.
            std::map<sdp::exchange_tag, std::deque<std::size_t>> by_tag;
            for (std::size_t i = 0; i < rank.size(); ++i)
                by_tag[rank[i].tag].push_back(i);
            std::vector<scripted_exchange> posted;
            for (const auto place : order) {
                auto& queue = by_tag[rank[place].tag];
                posted.push_back(rank[queue.front()]);
                queue.pop_front();
            }
            rank = std::move(posted);
        }
    deliver(all);
    return all;
}

/// Runs one rank's part, at most `in_flight` exchanges at a time, and compares every byte.
template <sdp::communicator C> void run(C& c, const script& all, std::size_t in_flight, std::uint32_t seed)
{
    struct flight {
        const scripted_exchange* plan = nullptr;
        std::vector<bytes> sent, received;
        sdp::pending_of<C> pending;
    };
    std::mt19937 random(seed + static_cast<std::uint32_t>(c.rank()));
    std::vector<flight> flights;
    const auto land = [&](std::size_t which) {
        auto& one = flights[which];
        if (random() % 2 == 0)
            one.pending.wait(patience);
        else
            for (int i = 0; i < 50 && !one.pending.test(); ++i)
                std::this_thread::yield();
        one.pending.wait(patience);
        CHECK(one.pending.test());
        for (std::size_t i = 0; i < one.received.size(); ++i)
            if (one.received[i] != painted(one.received[i].size(), one.plan->receives[i].id))
                FAIL_CHECK(
                    "rank " << c.rank() << ", tag " << one.plan->tag << ": wrong bytes from rank " << one.plan->receives[i].peer);
        flights.erase(flights.begin() + static_cast<std::ptrdiff_t>(which));
    };
    for (const auto& plan : all[static_cast<std::size_t>(c.rank())]) {
        auto& one = flights.emplace_back();
        one.plan = &plan;
        {
            // The two spans may go as soon as `exchange` returns.
            std::vector<sdp::outgoing> sends;
            std::vector<sdp::incoming> receives;
            for (const auto& each : plan.sends) {
                one.sent.push_back(painted(each.size, each.id));
                sends.push_back({each.peer, one.sent.back().data(), each.size});
            }
            for (const auto& each : plan.receives) {
                one.received.emplace_back(each.size);
                receives.push_back({each.peer, one.received.back().data(), each.size});
            }
            one.pending = c.exchange(plan.tag, sends, receives);
        }
        // Any of them may be the one to land: all ranks have `in_flight` exchanges posted, or all.
        if (flights.size() == in_flight && in_flight == all[static_cast<std::size_t>(c.rank())].size())
            while (!flights.empty())
                land(random() % flights.size());
        else if (flights.size() == in_flight)
            land(0);
    }
    while (!flights.empty())
        land(flights.size() - 1);
}

template <sdp::communicator C> void knows_its_place(C c)
{
    CHECK(c.size() >= 1);
    CHECK(c.rank() >= 0);
    CHECK(c.rank() < c.size());
}

template <sdp::communicator C> void nothing_to_exchange(C c)
{
    sdp::pending_of<C> none;
    CHECK(none.test());
    none.wait(0ms);
    auto empty = c.exchange(0, {}, {});
    empty.wait(0ms);
    CHECK(empty.test());
}

/// One step around the ring; the smallest sign of life.
template <sdp::communicator C> void ring(C c, sdp::exchange_tag tag = 3)
{
    if (c.size() == 1)
        return;
    const int next = (c.rank() + 1) % c.size();
    const int previous = (c.rank() + c.size() - 1) % c.size();
    const int out = 100 + c.rank();
    int in = -1;
    const std::array sends {sdp::outgoing {next, &out, sizeof out}};
    const std::array receives {sdp::incoming {previous, &in, sizeof in}};
    auto pending = c.exchange(tag, sends, receives);
    auto moved = std::move(pending);
    CHECK(pending.test()); // NOLINT(bugprone-use-after-move): a moved-from one is as good as a default-made one
    moved.wait(patience);
    CHECK(moved.test());
    CHECK(in == 100 + previous);
}

template <sdp::communicator C> void sparse_traffic(C c)
{
    for (std::uint32_t seed = 1; seed <= 6; ++seed)
        run(c, random_traffic(c.size(), seed, {.density = 15 * seed, .shuffled = false}), 1 + seed % 3, seed);
}

template <sdp::communicator C> void large_messages(C c)
{
    run(c, random_traffic(c.size(), 77, {.exchanges = 6, .tags = 2, .largest = 700'000, .density = 80, .shuffled = false}), 2,
        77);
}

/// All exchanges are under way at once, and each rank has posted them in an order of its own.
template <sdp::communicator C> void any_order_of_posting(C c)
{
    for (std::uint32_t seed = 11; seed <= 16; ++seed)
        run(c, random_traffic(c.size(), seed, {.exchanges = 40, .tags = 40}), 40, seed);
}

template <sdp::communicator C> void equal_tags_keep_their_order(C c)
{
    for (std::uint32_t seed = 21; seed <= 24; ++seed)
        run(c, random_traffic(c.size(), seed, {.exchanges = 40, .tags = 2}), 40, seed);
}

/// Many cheap rounds in which every number depends on all earlier ones: one lost or doubled message shows in the end.
template <sdp::communicator C> void many_rounds(C c, int rounds = 3000)
{
    const auto world = static_cast<std::size_t>(c.size());
    const auto mix
        = [](std::uint32_t sum, std::size_t rank) { return (sum ^ static_cast<std::uint32_t>(rank)) * 2654435761U + 1U; };
    std::vector<std::uint32_t> expected(world); // of every rank, by the sequential model
    for (std::size_t rank = 0; rank < world; ++rank)
        expected[rank] = static_cast<std::uint32_t>(rank);
    auto mine = static_cast<std::uint32_t>(c.rank());
    std::vector<std::uint32_t> heard(world);
    std::vector<sdp::outgoing> sends;
    std::vector<sdp::incoming> receives;
    for (int peer = 0; peer < c.size(); ++peer)
        if (peer != c.rank()) {
            sends.push_back({peer, &mine, sizeof mine});
            receives.push_back({peer, &heard[static_cast<std::size_t>(peer)], sizeof mine});
        }
    for (int round = 0; round < rounds; ++round) {
        auto pending = c.exchange(round % 5, sends, receives);
        pending.wait(patience);
        heard[static_cast<std::size_t>(c.rank())] = mine;
        const auto combine = [&](std::uint32_t start, const std::vector<std::uint32_t>& all) {
            for (std::size_t rank = 0; rank < world; ++rank)
                start = mix(start ^ all[rank], rank);
            return start;
        };
        auto next = expected;
        for (std::size_t rank = 0; rank < world; ++rank)
            next[rank] = combine(expected[rank], expected);
        expected = next;
        mine = combine(mine, heard);
    }
    CHECK(mine == expected[static_cast<std::size_t>(c.rank())]);
}

/// Refused before anything is posted: the valid exchange of the same tag that follows finds no trace.
template <sdp::communicator C> void ill_formed_arguments(C c)
{
    std::array<int, 2> data {};
    const int me = c.rank();
    const int other = (me + 1) % c.size();
    const auto tries = [&](int tag, std::vector<sdp::outgoing> sends, std::vector<sdp::incoming> receives) {
        return [&c, tag, sends, receives] { (void)c.exchange(tag, sends, receives); };
    };
    const auto size = std::to_string(c.size());
    CHECK(refuses<sdp::input_error>(
        tries(3, {{c.size(), &data, 4}}, {}), {"rank " + size, "tag 3", "0 to " + std::to_string(c.size() - 1)}));
    CHECK(refuses<sdp::input_error>(tries(3, {}, {{-1, &data, 4}}), {"from rank -1"}));
    CHECK(refuses<sdp::input_error>(tries(3, {{me, &data, 4}}, {}), {"itself"}));
    CHECK(refuses<sdp::input_error>(tries(-1, {}, {}), {"tag -1"}));
    CHECK(refuses<sdp::input_error>(tries(sdp::max_exchange_tag + 1, {}, {}), {"tag 32768"}));
    if (c.size() > 1) {
        CHECK(refuses<sdp::input_error>(tries(3, {{other, &data, 0}}, {}), {"zero bytes", "to rank " + std::to_string(other)}));
        CHECK(refuses<sdp::input_error>(tries(3, {{other, nullptr, 4}}, {}), {"null"}));
        // The first message of each of these is valid and must not get out.
        CHECK(refuses<sdp::input_error>(tries(3, {{other, &data, 4}, {other, &data[1], 4}}, {}), {"second"}));
        CHECK(refuses<sdp::input_error>(
            tries(3, {{other, &data, 4}}, {{other, &data, 4}, {other, &data[1], 4}}), {"second", "from"}));
    }
    ring(c, 3);
    ring(c, sdp::max_exchange_tag);
}

/// Rank 0 waits for what rank 1 sends, or takes, only after it was told that the wait has timed out.
template <sdp::communicator C> void late_peer(C c, bool sender_waits)
{
    if (c.size() == 1)
        return;
    constexpr std::size_t size = std::size_t(4) << 20; // more than any MPI takes off a sender's hands unasked
    if (c.rank() == 0) {
        auto data = painted(size, sender_waits ? 5 : 6);
        const std::array<sdp::outgoing, 1> send {{{1, data.data(), size}}};
        const std::array<sdp::incoming, 1> receive {{{1, data.data(), size}}};
        auto pending = sender_waits ? c.exchange(7, send, {}) : c.exchange(7, {}, receive);
        CHECK_FALSE(pending.test());
        const auto direction = sender_waits ? "send to" : "receive from";
        const auto wait = [&] { pending.wait(30ms); };
        CHECK(refuses<sdp::timeout_error>(wait, {"rank 0", "rank 1", "tag 7", "4194304 bytes", "30 ms", direction}));
        CHECK(blames<sdp::timeout_error>(wait, 0, 1));
        const char go = 'g';
        const std::array<sdp::outgoing, 1> signal {{{1, &go, 1}}};
        c.exchange(8, signal, {}).wait(patience);
        pending.wait(patience); // timing out has not harmed the exchange
        CHECK(data == painted(size, 5));
    } else if (c.rank() == 1) {
        char go = 0;
        const std::array<sdp::incoming, 1> signal {{{0, &go, 1}}};
        c.exchange(8, {}, signal).wait(patience);
        auto data = painted(size, sender_waits ? 6 : 5);
        const std::array<sdp::outgoing, 1> send {{{0, data.data(), size}}};
        const std::array<sdp::incoming, 1> receive {{{0, data.data(), size}}};
        (sender_waits ? c.exchange(7, {}, receive) : c.exchange(7, send, {})).wait(patience);
        CHECK(data == painted(size, 5));
    }
}

/// The two ends disagree about the size: an error for the receiver, an end of the wait for the sender, and a communicator
/// that still works.
template <sdp::communicator C> void sizes_differ(C c, std::size_t sent, std::size_t expected)
{
    if (c.size() == 1)
        return;
    if (c.rank() == 0) {
        const auto data = painted(sent, 1);
        const std::array<sdp::outgoing, 1> send {{{1, data.data(), sent}}};
        auto pending = c.exchange(9, send, {});
        try {
            pending.wait(patience);
        } catch (const sdp::timeout_error&) {
            FAIL_CHECK("the sender hangs");
        } catch (const sdp::error& failure) {
            CHECK(std::string(failure.what()).find("tag 9") != std::string::npos);
        }
    } else if (c.rank() == 1) {
        // Room for all that is sent: Open MPI 4.1, where it copies straight out of the sender's memory, writes all of it
        // before it reports that it was too much.
        bytes data(std::max(sent, expected), 42);
        const std::array<sdp::incoming, 1> receive {{{0, data.data(), expected}}};
        auto pending = c.exchange(9, {}, receive);
        CHECK(refuses<sdp::error>([&] { pending.wait(patience); }, {"rank 0", "rank 1", "tag 9", std::to_string(expected)}));
        CHECK(refuses<sdp::error>([&] { (void)pending.test(); }, {"tag 9"})); // it does not become complete by asking again
    }
    ring(c, 9);
}

/// Copies of a handle and several communicators of one group do not get in each other's way.
template <sdp::communicator C> void copies(C c)
{
    C copy = c;
    CHECK(copy.rank() == c.rank());
    CHECK(copy.size() == c.size());
    ring(copy);
    ring(c);
}

/// Numbers at the start of a worker's memory, by which it tells its peers how far it is.
[[nodiscard]] inline std::atomic_ref<std::uint64_t> counter(std::byte* memory, std::size_t number = 0) noexcept
{
    return std::atomic_ref(reinterpret_cast<std::uint64_t*>(memory)[number]);
}

/// Several pieces of memory at once, of a size of its own on every rank: zeros at first, then what the owner has written, then
/// what the others have.
template <sdp::peer_memory C> void peers_reach_memory(C c)
{
    constexpr std::size_t line = 64;
    const auto world = static_cast<std::size_t>(c.size()), me = static_cast<std::size_t>(c.rank());
    CHECK(c.reaches(c.rank()));
    std::vector<std::size_t> peers;
    for (std::size_t peer = 0; peer < world; ++peer)
        if (peer != me && c.reaches(static_cast<int>(peer)))
            peers.push_back(peer);
    // A line of counters, a line for each writer, and then a painted stretch.
    const auto painted_bytes = [](std::size_t rank, std::size_t segment) { return 1 + 100 * rank + 7 * segment; };
    using segment_type = decltype(c.share(line));
    std::vector<segment_type> segments;
    for (std::size_t n = 0; n < 3; ++n)
        segments.push_back(c.share(line * (1 + world) + painted_bytes(me, n)));

    const auto said = [&](std::size_t n, std::size_t rank, std::uint64_t what) {
        auto* const there = segments[n].of(static_cast<int>(rank));
        return there != nullptr && counter(there).load(std::memory_order_acquire) >= what;
    };
    const auto say = [&](std::size_t n, std::uint64_t what) {
        counter(segments[n].of(c.rank())).store(what, std::memory_order_release);
        segments[n].notify();
    };
    const auto hear = [&](std::size_t n, std::size_t rank, std::uint64_t what) {
        segments[n].wait(
            static_cast<int>(rank), [&] { return said(n, rank, what); }, patience);
    };
    for (std::size_t n = segments.size(); n-- > 0;) { // not in the order in which they were opened
        auto* const mine = segments[n].of(c.rank());
        REQUIRE(mine != nullptr);
        CHECK(reinterpret_cast<std::uintptr_t>(mine) % line == 0);
        const std::size_t bytes_here = line * (1 + world) + painted_bytes(me, n);
        CHECK(std::all_of(mine, mine + bytes_here, [](std::byte b) { return b == std::byte {0}; }));
        paint({reinterpret_cast<std::uint8_t*>(mine + line * (1 + world)), painted_bytes(me, n)},
            static_cast<std::uint32_t>(10 * me + n));
        say(n, 1);
    }
    for (std::size_t n = 0; n < segments.size(); ++n)
        for (const auto peer : peers) {
            hear(n, peer, 1);
            auto* const there = segments[n].of(static_cast<int>(peer));
            const auto expected = painted(painted_bytes(peer, n), static_cast<std::uint32_t>(10 * peer + n));
            if (!std::equal(expected.begin(), expected.end(), reinterpret_cast<const std::uint8_t*>(there + line * (1 + world))))
                FAIL_CHECK("rank " << me << " sees other bytes in the memory of rank " << peer << " than it has written");
            paint({reinterpret_cast<std::uint8_t*>(there + line * (1 + me)), line}, static_cast<std::uint32_t>(1000 + me));
        }
    for (std::size_t n = 0; n < segments.size(); ++n)
        say(n, 2);
    for (std::size_t n = 0; n < segments.size(); ++n)
        for (const auto peer : peers) {
            hear(n, peer, 2);
            const auto expected = painted(line, static_cast<std::uint32_t>(1000 + peer));
            const auto* const mine = reinterpret_cast<const std::uint8_t*>(segments[n].of(c.rank()) + line * (1 + peer));
            if (!std::equal(expected.begin(), expected.end(), mine))
                FAIL_CHECK("rank " << me << " does not see what rank " << peer << " has written to it");
        }
    // To and fro, so often that one lost notice shows as a hang.
    for (std::uint64_t round = 3; round < 500; ++round) {
        say(round % 3, round);
        for (const auto peer : peers)
            hear(round % 3, peer, round);
    }
}

/// Rank 0 waits for rank 1, which does nothing until rank 0 was told that it took too long.
template <sdp::peer_memory C> void late_in_memory(C c)
{
    if (c.size() == 1 || c.rank() > 1 || !c.reaches(1 - c.rank())) {
        auto unused = c.share(64); // all ranks open it
        return;
    }
    auto segment = c.share(64);
    const int other = 1 - c.rank();
    const auto said = [&] {
        auto* const there = segment.of(other);
        return there != nullptr && counter(there).load(std::memory_order_acquire) > 0;
    };
    const auto say = [&] {
        counter(segment.of(c.rank())).store(1, std::memory_order_release);
        segment.notify();
    };
    if (c.rank() == 0) {
        CHECK(refuses<sdp::timeout_error>([&] { segment.wait(1, said, 30ms); }, {"rank 0", "rank 1", "30 ms"}));
        CHECK(blames<sdp::timeout_error>([&] { segment.wait(1, said, 30ms); }, 0, 1));
        say();
        segment.wait(1, said, patience); // timing out has done no harm
    } else {
        segment.wait(0, said, patience);
        say();
    }
    CHECK(said());
    segment.wait(other, said, 0ms); // what is done already takes no time
}

/// Sums of small whole numbers, which are exact in any order; several at once, started in the same order.
template <sdp::native_all_reduce C, class T> void sums_in(C& c)
{
    const auto world = static_cast<T>(c.size()), me = static_cast<T>(c.rank());
    std::vector<std::vector<T>> data;
    for (const std::size_t count : {std::size_t(1), std::size_t(2), std::size_t(7), std::size_t(1000), std::size_t(5003)}) {
        auto& d = data.emplace_back(count);
        for (std::size_t i = 0; i < count; ++i)
            d[i] = me * static_cast<T>(i % 3 + 1) + static_cast<T>(i % 101);
    }
    std::vector<decltype(c.all_reduce(nullptr, 0, sdp::element_type::f32))> pending;
    for (auto& d : data)
        pending.push_back(c.all_reduce(d.data(), d.size(), sdp::element_type_of<T>::value));
    for (std::size_t n = pending.size(); n-- > 0;) {
        for (int i = 0; i < 20 && !pending[n].test(); ++i)
            std::this_thread::yield();
        pending[n].wait(patience);
        CHECK(pending[n].test());
    }
    for (const auto& d : data)
        for (std::size_t i = 0; i < d.size(); ++i)
            if (d[i] != world * (world - 1) / 2 * static_cast<T>(i % 3 + 1) + world * static_cast<T>(i % 101)) {
                FAIL_CHECK("rank " << c.rank() << ": element " << i << " of " << d.size() << " is " << d[i]);
                return;
            }
}

template <sdp::native_all_reduce C> void all_reduce(C c)
{
    sums_in<C, float>(c);
    sums_in<C, double>(c);
    auto nothing = c.all_reduce(nullptr, 0, sdp::element_type::f32);
    nothing.wait(patience);
    ring(c); // sums and messages go their own ways
}

/// Everything but the cases that need their own arguments. `each_world(f)` runs `f(communicator)` on all workers.
template <class Each> void suite(Each&& each_world)
{
    SUBCASE("rank and size")
    {
        each_world([](auto c) { knows_its_place(c); });
    }
    SUBCASE("nothing to exchange")
    {
        each_world([](auto c) { nothing_to_exchange(c); });
    }
    SUBCASE("ring")
    {
        each_world([](auto c) { ring(c); });
    }
    SUBCASE("copies of the handle")
    {
        each_world([](auto c) { copies(c); });
    }
    SUBCASE("random sparse traffic")
    {
        each_world([](auto c) { sparse_traffic(c); });
    }
    SUBCASE("large messages")
    {
        each_world([](auto c) { large_messages(c); });
    }
    SUBCASE("any order of posting")
    {
        each_world([](auto c) { any_order_of_posting(c); });
    }
    SUBCASE("equal tags keep their order")
    {
        each_world([](auto c) { equal_tags_keep_their_order(c); });
    }
    SUBCASE("many rounds")
    {
        each_world([](auto c) { many_rounds(c); });
    }
    SUBCASE("ill-formed arguments")
    {
        each_world([](auto c) { ill_formed_arguments(c); });
    }
    SUBCASE("a late sender")
    {
        each_world([](auto c) { late_peer(c, false); });
    }
    SUBCASE("a late receiver")
    {
        each_world([](auto c) { late_peer(c, true); });
    }
    // Capabilities: only for communicators that have them, which the kind of `c` decides.
    SUBCASE("memory that peers reach")
    {
        each_world([](auto c) {
            if constexpr (sdp::peer_memory<decltype(c)>)
                peers_reach_memory(c);
        });
    }
    SUBCASE("a late peer in memory")
    {
        each_world([](auto c) {
            if constexpr (sdp::peer_memory<decltype(c)>)
                late_in_memory(c);
        });
    }
    SUBCASE("an all-reduce of the transport's own")
    {
        each_world([](auto c) {
            if constexpr (sdp::native_all_reduce<decltype(c)>)
                all_reduce(c);
        });
    }
    SUBCASE("a small message that is too long")
    {
        each_world([](auto c) { sizes_differ(c, 80, 64); });
    }
    SUBCASE("a small message that is too short")
    {
        each_world([](auto c) { sizes_differ(c, 10, 64); });
    }
    SUBCASE("a large message that is too long")
    {
        each_world([](auto c) { sizes_differ(c, 3'000'001, 3'000'000); });
    }
    SUBCASE("a large message that is too short")
    {
        each_world([](auto c) { sizes_differ(c, 2'999'999, 3'000'000); });
    }
}

} // namespace conformance
