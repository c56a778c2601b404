// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <support/allocation_counter.hpp>
#include <support/mpi_main.hpp>

#include <comm/conformance.hpp>

#include <sdp/comm/fit_route_costs.hpp>
#include <sdp/comm/mpi.hpp>
#include <sdp/masking/forward.hpp>
#include <sdp/synchronizer.hpp>

#include <boost/mpi/collectives.hpp>
#include <boost/mpi/communicator.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <iterator>
#include <limits>
#include <optional>
#include <string>
#include <vector>

static_assert(sdp::communicator<sdp::mpi_communicator>);
static_assert(sdp::abortable<sdp::mpi_communicator>);
static_assert(!sdp::ordered_exchange<sdp::mpi_communicator>);
static_assert(sdp::memory_segment<sdp::mpi_segment>);
static_assert(sdp::peer_memory<sdp::mpi_communicator>);
static_assert(!sdp::mpi_communicator::one_address_space); // an address of one process means nothing to another
static_assert(sdp::native_all_reduce<sdp::mpi_communicator>);

TEST_CASE("the private form conforms")
{
    conformance::suite([](auto scenario) { scenario(sdp::mpi_communicator(boost::mpi::communicator())); });
}

TEST_CASE("messages in pieces conform")
{
    conformance::suite(
        [](auto scenario) { scenario(sdp::mpi_communicator(boost::mpi::communicator(), {.largest_piece = 10'007})); });
}

TEST_CASE("pieces of a few bytes")
{
    for (const auto piece : {std::size_t(1), std::size_t(2), std::size_t(7)}) {
        sdp::mpi_communicator c(boost::mpi::communicator(), {.largest_piece = piece});
        conformance::run(c, conformance::random_traffic(c.size(), 5, {.exchanges = 8, .largest = 200}), 8, 5);
    }
}

TEST_CASE("sums in pieces")
{
    for (const auto piece : {std::size_t(1), std::size_t(8), std::size_t(20), std::size_t(4'096)}) // some less than an element
        conformance::all_reduce(sdp::mpi_communicator(boost::mpi::communicator(), {.largest_piece = piece}));
}

TEST_CASE("costs are measured alike where some ranks reach others and some nobody")
{
    const boost::mpi::communicator world;
    for (const int most : {0, 1, 2, 3}) {
        sdp::mpi_communicator c(world, {.node_ranks = most});
        const auto costs = sdp::fit_route_costs(c, std::chrono::seconds(30));
        const double mine[] {costs.messages.round_us, costs.messages.byte_ns, costs.memory.round_us, costs.memory.byte_ns};
        double first[4];
        std::copy(std::begin(mine), std::end(mine), first);
        boost::mpi::broadcast(world, first, 4, 0);
        CHECK(std::equal(std::begin(mine), std::end(mine), first));
        const bool reach = world.size() > 1 && most != 1;
        CHECK((costs.memory == sdp::route_costs {}.memory) == !reach);
        CHECK((costs.messages == sdp::route_costs {}.messages) == (world.size() == 1));
    }
}

TEST_CASE("ranks of a node reach each other, as many as count as one")
{
    const boost::mpi::communicator world;
    for (const int most : {1, 2, 3}) {
        const sdp::mpi_communicator c(world, {.node_ranks = most});
        // The tests' ranks are all on one machine.
        for (int rank = 0; rank < c.size(); ++rank)
            CHECK(c.reaches(rank) == (rank / most == c.rank() / most));
        conformance::peers_reach_memory(c);
        conformance::late_in_memory(c);
    }
    const sdp::mpi_communicator all(world);
    for (int rank = 0; rank < all.size(); ++rank)
        CHECK(all.reaches(rank));
    CHECK(conformance::refuses<sdp::error>(
        [&] { (void)sdp::mpi_communicator(world, {.node_ranks = -1}); }, {"node_ranks", "-1", "at least 0"}));
    conformance::ring(sdp::mpi_communicator(world)); // refused before anybody was waited for
}

TEST_CASE("the attached form reaches no memory, and a step on it goes in messages")
{
    const boost::mpi::communicator given(boost::mpi::communicator(), boost::mpi::comm_duplicate);
    const auto c = sdp::mpi_communicator::attach(given);
    for (int rank = 0; rank < c.size(); ++rank)
        CHECK(c.reaches(rank) == (rank == c.rank())); // a worker reaches its own, at least
    CHECK(conformance::refuses<sdp::error>([&] { (void)c.share(64); }, {"rank " + std::to_string(c.rank()), "attached"}));
    sdp::model m;
    m.add_parameter("weight", {40, 5});
    const sdp::residency residents(m, sdp::assignment(m, c.size()), sdp::forward_masking {});
    for (const auto route : {sdp::route_choice::fastest, sdp::route_choice::native}) {
        sdp::synchronizer_options options;
        options.route = route;
        options.local.timeout = conformance::patience;
        sdp::synchronizer sync(m, residents, c, options);
        std::vector<float> gradient(200);
        for (std::size_t i = 0; i < gradient.size(); ++i)
            gradient[i] = static_cast<float>(c.rank()) + static_cast<float>(i);
        sync.ready(sdp::parameter_id(0), gradient);
        sync.finish();
        for (std::size_t i = 0; i < gradient.size(); ++i)
            CHECK(gradient[i] == static_cast<float>(c.size() - 1) / 2 + static_cast<float>(i)); // exact up to 8 ranks
        const auto ways = sync.routes();
        if (c.size() == 1) {
            CHECK(ways.empty());
            continue;
        }
        REQUIRE(ways.size() == 1);
        CHECK(ways[0].route == (route == sdp::route_choice::native ? "native" : c.size() == 2 ? "swap" : "two-sided"));
        CHECK(ways[0].holder_sets == 1);
        CHECK(ways[0].elements == 200);
    }
}

TEST_CASE("the attached form uses the given communicator and leaves it alone")
{
    const boost::mpi::communicator world;
    const boost::mpi::communicator given(world, boost::mpi::comm_duplicate);
    {
        const auto c = sdp::mpi_communicator::attach(given);
        int relation = MPI_UNEQUAL;
        MPI_Comm_compare(c.base(), given, &relation);
        CHECK(relation == MPI_IDENT);
        conformance::ring(c);
        conformance::sparse_traffic(c);
    }
    CHECK(given.size() == world.size());
    conformance::ring(sdp::mpi_communicator::attach(given)); // still alive
}

TEST_CASE("the private form shares no messages with the communicator it was made from")
{
    const boost::mpi::communicator world;
    const sdp::mpi_communicator c(world);
    int relation = MPI_UNEQUAL;
    MPI_Comm_compare(c.base(), world, &relation);
    CHECK(relation == MPI_CONGRUENT);
    if (world.size() == 1)
        return;
    // A message of the program with the same ends and tag, posted first, must not be taken for one of ours.
    const int next = (c.rank() + 1) % c.size();
    const int previous = (c.rank() + c.size() - 1) % c.size();
    const int foreign = -7;
    int heard = 0;
    MPI_Request request = MPI_REQUEST_NULL;
    MPI_Isend(&foreign, 1, MPI_INT, next, 3, world, &request);
    conformance::ring(c, 3);
    MPI_Recv(&heard, 1, MPI_INT, previous, 3, world, MPI_STATUS_IGNORE);
    MPI_Wait(&request, MPI_STATUS_IGNORE);
    CHECK(heard == -7);
}

TEST_CASE("the error handler of the private form returns, whatever the program's own does")
{
    const boost::mpi::communicator given(boost::mpi::communicator(), boost::mpi::comm_duplicate);
    MPI_Comm_set_errhandler(given, MPI_ERRORS_ARE_FATAL);
    const auto handler_of = [](MPI_Comm comm) {
        MPI_Errhandler handler = MPI_ERRHANDLER_NULL;
        MPI_Comm_get_errhandler(comm, &handler);
        return handler;
    };
    const sdp::mpi_communicator c(given);
    CHECK(handler_of(c.base()) == MPI_ERRORS_RETURN);
    CHECK(handler_of(given) == MPI_ERRORS_ARE_FATAL);
    CHECK(handler_of(sdp::mpi_communicator::attach(given).base()) == MPI_ERRORS_ARE_FATAL);
}

TEST_CASE("a part of the processes makes a communicator of its own")
{
    const boost::mpi::communicator world;
    const sdp::mpi_communicator half(world.split(world.rank() % 2));
    CHECK(half.size() == (world.size() + (world.rank() % 2 == 0 ? 1 : 0)) / 2);
    conformance::ring(half);
    conformance::any_order_of_posting(half);
}

TEST_CASE("MPI's own handle is taken like Boost.MPI's")
{
    MPI_Comm given = MPI_COMM_NULL;
    MPI_Comm_dup(MPI_COMM_WORLD, &given);
    const auto relation_to_given = [&](const sdp::mpi_communicator& c) {
        int relation = MPI_UNEQUAL;
        MPI_Comm_compare(c.base(), given, &relation);
        return relation;
    };
    {
        const sdp::mpi_communicator own(given);
        CHECK(relation_to_given(own) == MPI_CONGRUENT); // duplicated
        const auto attached = sdp::mpi_communicator::attach(given);
        CHECK(relation_to_given(attached) == MPI_IDENT);
        conformance::ring(attached);
        MPI_Comm_free(&given); // the private form does not live on it
        conformance::ring(own);
        conformance::peers_reach_memory(own);
    }
    const sdp::mpi_communicator small_pieces(MPI_COMM_WORLD, {.largest_piece = 7, .node_ranks = 1});
    for (int rank = 0; rank < small_pieces.size(); ++rank)
        CHECK(small_pieces.reaches(rank) == (rank == small_pieces.rank()));
    conformance::ring(small_pieces);
}

TEST_CASE("a process outside the given communicator is refused")
{
    const boost::mpi::communicator none(MPI_COMM_NULL, boost::mpi::comm_attach);
    const std::string null = "MPI_COMM_NULL";
    CHECK(conformance::refuses<sdp::error>([&] { (void)sdp::mpi_communicator(none); }, {null}));
    CHECK(conformance::refuses<sdp::error>([&] { (void)sdp::mpi_communicator::attach(none); }, {null}));
    MPI_Comm nobody = MPI_COMM_NULL;
    CHECK(conformance::refuses<sdp::error>([&] { (void)sdp::mpi_communicator(nobody); }, {null}));
    CHECK(conformance::refuses<sdp::error>([&] { (void)sdp::mpi_communicator::attach(nobody); }, {null}));
}

TEST_CASE("a communicator between two groups is refused")
{
    const boost::mpi::communicator world;
    if (world.size() == 1)
        return;
    const bool even = world.rank() % 2 == 0;
    const boost::mpi::communicator mine = world.split(even ? 0 : 1);
    MPI_Comm between = MPI_COMM_NULL;
    MPI_Intercomm_create(mine, 0, world, even ? 1 : 0, 5, &between);
    const std::string ours = std::to_string(mine.size());
    const std::string theirs = std::to_string(world.size() - mine.size());
    const auto groups = "between groups of " + ours + " and " + theirs;
    const boost::mpi::communicator handle(between, boost::mpi::comm_attach);
    CHECK(conformance::refuses<sdp::error>([&] { (void)sdp::mpi_communicator(between); }, {groups, "MPI_Intercomm_merge"}));
    CHECK(conformance::refuses<sdp::error>([&] { (void)sdp::mpi_communicator::attach(between); }, {groups}));
    CHECK(conformance::refuses<sdp::error>([&] { (void)sdp::mpi_communicator(handle); }, {groups}));

    MPI_Comm merged = MPI_COMM_NULL; // the cure that the sentence names
    MPI_Intercomm_merge(between, even ? 0 : 1, &merged);
    conformance::ring(sdp::mpi_communicator(merged));
    MPI_Comm_free(&merged);
    MPI_Comm_free(&between);
}

TEST_CASE("a piece is counted by an int")
{
    const boost::mpi::communicator world;
    constexpr std::size_t most = std::numeric_limits<int>::max();
    for (const std::size_t wrong : {std::size_t(0), most + 1})
        CHECK(conformance::refuses<sdp::error>([&] { (void)sdp::mpi_communicator(world, {.largest_piece = wrong}); },
            {std::to_string(wrong), std::to_string(most)}));
    conformance::ring(sdp::mpi_communicator(world, {.largest_piece = most}));
}

TEST_CASE("a message that is too long keeps MPI's own code and words")
{
    const sdp::mpi_communicator c {boost::mpi::communicator()};
    if (c.size() == 1)
        return;
    std::array<char, 100> data {};
    if (c.rank() == 0) {
        const std::array<sdp::outgoing, 1> send {{{1, data.data(), 100}}};
        c.exchange(1, send, {}).wait(conformance::patience);
    } else if (c.rank() == 1) {
        const std::array<sdp::incoming, 1> receive {{{0, data.data(), 60}}};
        auto pending = c.exchange(1, {}, receive);
        try {
            pending.wait(conformance::patience);
            FAIL_CHECK("nothing was thrown");
        } catch (const sdp::mpi_error& failure) {
            int error_class = MPI_SUCCESS;
            MPI_Error_class(failure.code(), &error_class);
            CHECK(error_class == MPI_ERR_TRUNCATE);
            CHECK(std::string(failure.what()).find("MPI_ERR_TRUNCATE") != std::string::npos);
        }
    }
}

TEST_CASE("after an exchange was given up, the communicator refuses new ones instead of mixing up messages")
{
    const boost::mpi::communicator world;
    const sdp::mpi_communicator c(world);
    if (c.size() == 1)
        return;
    int late = 0;
    if (c.rank() == 0) {
        const std::array<sdp::incoming, 1> receive {{{1, &late, sizeof late}}};
        {
            auto pending = c.exchange(1, {}, receive);
            CHECK_FALSE(pending.test());
        }
        CHECK(conformance::refuses<sdp::error>([&] { (void)c.exchange(2, {}, receive); }, {"rank 0", "tag 2", "gave up"}));
    }
    world.barrier();
    if (c.rank() == 1) {
        const int value = 5;
        const std::array<sdp::outgoing, 1> send {{{0, &value, sizeof value}}};
        c.exchange(1, send, {}).wait(conformance::patience);
    }
    world.barrier();
    CHECK(late == 0); // the memory was ours again when the exchange was destroyed
}

TEST_CASE("an unfinished exchange may outlive the handle, and the handle the exchange")
{
    const boost::mpi::communicator world;
    std::optional<sdp::mpi_communicator> c(world);
    if (c->size() == 1)
        return;
    const int next = (c->rank() + 1) % c->size();
    const int previous = (c->rank() + c->size() - 1) % c->size();
    const int out = c->rank();
    int in = -1;
    const std::array<sdp::outgoing, 1> send {{{next, &out, sizeof out}}};
    const std::array<sdp::incoming, 1> receive {{{previous, &in, sizeof in}}};
    auto pending = c->exchange(1, send, receive);
    c.reset();
    pending.wait(conformance::patience);
    CHECK(in == previous);
}

TEST_CASE("no memory is allocated once the first exchanges are through")
{
    const sdp::mpi_communicator c(boost::mpi::communicator(), {.largest_piece = 100});
    std::vector<std::vector<char>> buffers(static_cast<std::size_t>(2 * c.size()), std::vector<char>(1000));
    std::vector<sdp::outgoing> sends;
    std::vector<sdp::incoming> receives;
    for (int peer = 0; peer < c.size(); ++peer)
        if (peer != c.rank()) {
            sends.push_back({peer, buffers[static_cast<std::size_t>(2 * peer)].data(), 1000});
            receives.push_back({peer, buffers[static_cast<std::size_t>(2 * peer + 1)].data(), 1000});
        }
    const auto round = [&] {
        auto first = c.exchange(1, sends, {});
        auto second = c.exchange(1, {}, receives);
        while (!first.test()) { }
        second.wait(conformance::patience);
    };
    for (int i = 0; i < 3; ++i)
        round();
    const auto made = support::allocations_of([&] {
        for (int i = 0; i < 200; ++i)
            round();
    });
    CHECK(made == 0);
}

/// Needs 4.4 GB per rank, so it only runs when asked for (--no-skip).
TEST_CASE("more bytes than an int counts" * doctest::skip())
{
    const sdp::mpi_communicator c {boost::mpi::communicator()};
    if (c.size() == 1 || c.rank() > 1)
        return;
    constexpr std::size_t size = (std::size_t(1) << 31) + 12'345;
    auto data = c.rank() == 0 ? conformance::painted(size, 1) : conformance::bytes(size);
    const std::array<sdp::outgoing, 1> send {{{1, data.data(), size}}};
    const std::array<sdp::incoming, 1> receive {{{0, data.data(), size}}};
    (c.rank() == 0 ? c.exchange(1, send, {}) : c.exchange(1, {}, receive)).wait(conformance::patience);
    CHECK(data == conformance::painted(size, 1));
}
