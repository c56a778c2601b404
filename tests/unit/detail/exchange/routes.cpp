// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief Tests the routes of gradients by the options and the communicator's capabilities; and that no peer reads the memory of
/// a worker that has failed on a memory route.

#include <unit/cases.hpp>

#include <support/messages_only.hpp>

#include <sdp/comm/threads.hpp>
#include <sdp/diagnostics.hpp>
#include <sdp/masking/forward.hpp>
#include <sdp/synchronizer.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using sdp::index_t;
using support::messages_only;

/// A sum under way: everybody gets everything, and adds it up in rank order.
class pending_sum {
public:
    pending_sum() = default;
    pending_sum(sdp::thread_communicator comm, float* data, std::size_t count)
        : state_(std::make_unique<state>())
    {
        state_->data = data;
        state_->rank = static_cast<std::size_t>(comm.rank());
        state_->all.assign(static_cast<std::size_t>(comm.size()), std::vector<float>(data, data + count));
        state_->mine = state_->all.front();
        std::vector<sdp::outgoing> sends;
        std::vector<sdp::incoming> receives;
        for (int peer = 0; peer < comm.size(); ++peer)
            if (peer != comm.rank()) {
                sends.push_back({peer, state_->mine.data(), count * sizeof(float)});
                receives.push_back({peer, state_->all[static_cast<std::size_t>(peer)].data(), count * sizeof(float)});
            }
        state_->pending = comm.exchange(0, sends, receives);
    }
    [[nodiscard]] bool test()
    {
        if (state_ && state_->pending.test())
            add();
        return !state_;
    }
    void wait(std::chrono::milliseconds limit)
    {
        if (state_) {
            state_->pending.wait(limit);
            add();
        }
    }

private:
    struct state {
        float* data = nullptr;
        std::size_t rank = 0;
        std::vector<float> mine;
        std::vector<std::vector<float>> all;
        sdp::thread_exchange pending;
    };

    void add()
    {
        for (std::size_t i = 0; i < state_->mine.size(); ++i) {
            state_->data[i] = state_->all[0][i];
            for (std::size_t rank = 1; rank < state_->all.size(); ++rank)
                state_->data[i] += state_->all[rank][i];
        }
        state_.reset();
    }

    std::unique_ptr<state> state_;
};

/// No peer memory, but an all-reduce of its own, on messages of a second group. For f32.
class summing : public messages_only {
public:
    summing(sdp::thread_communicator inner, sdp::thread_communicator second)
        : messages_only(std::move(inner))
        , second_(std::move(second))
    {
    }
    [[nodiscard]] pending_sum all_reduce(void* data, std::size_t count, sdp::element_type type) const
    {
        REQUIRE(type == sdp::element_type::f32);
        return {second_, static_cast<float*>(data), count};
    }

private:
    sdp::thread_communicator second_;
};

static_assert(!sdp::peer_memory<summing> && sdp::native_all_reduce<summing>);

/// The elements and sets that should go each way for one rank, from the brute-force view.
struct expected_use {
    std::uint64_t elements = 0;
    std::set<std::pair<unit::mask, unit::mask>> sets; ///< who trains and who stores
};
template <class NameOf> std::map<std::string, expected_use> expected_uses(const unit::scene& s, int rank, NameOf name_of)
{
    std::map<std::string, expected_use> out;
    for (std::size_t p = 0; p < s.elements.trained.size(); ++p)
        for (std::size_t i = 0; i < s.elements.trained[p].size(); ++i) {
            const auto trained = s.elements.trained[p][i];
            if (!unit::has(trained, rank) || unit::count(trained) < 2)
                continue;
            auto& use = out[name_of(unit::count(trained))];
            ++use.elements;
            use.sets.insert({trained, s.elements.stored[p][i]});
        }
    return out;
}

/// Describes an error in the result of `routes()`; empty if there is none.
template <class C, class NameOf>
std::string flaw_of_routes(const unit::scene& s, C comm, const sdp::synchronizer_options& options, NameOf name_of)
{
    const int rank = comm.rank();
    const sdp::synchronizer sync(s.model, s.residents, std::move(comm), options);
    auto expected = expected_uses(s, rank, name_of);
    for (const auto& use : sync.routes()) {
        const auto at = expected.find(std::string(use.route));
        if (at == expected.end())
            return sdp::detail::text(use.elements, " elements go the way ", use.route, " or are listed twice");
        if (use.elements != at->second.elements || use.holder_sets != at->second.sets.size())
            return sdp::detail::text(use.elements, " elements of ", use.holder_sets, " sets go the way ", use.route,
                "; expected ", at->second.elements, " of ", at->second.sets.size());
        expected.erase(at);
    }
    return expected.empty() ? "" : "nothing goes the way " + expected.begin()->first;
}

float gradient_of(int rank, std::size_t p, index_t element)
{
    const auto x = static_cast<unsigned>(rank * 7919 + static_cast<int>(p) * 104729) + static_cast<unsigned>(element) * 31U;
    return static_cast<float>(x * 2654435761U >> 8) * 0x1p-23F - 1;
}

/// A step's gradients, flat; what is not trained keeps what it had.
template <class C>
std::vector<float> gradients_after_step(
    const unit::scene& s, C comm, const sdp::synchronizer_options& options, double weight, sdp::traffic& sent)
{
    const int rank = comm.rank();
    std::vector<std::vector<float>> memory;
    std::vector<std::span<float>> gradients;
    sdp::synchronizer sync(s.model, s.residents, std::move(comm), options);
    for (std::size_t p = 0; p < s.model.parameters().size(); ++p) {
        const auto id = sdp::parameter_id(p);
        auto& own = memory.emplace_back();
        if (sync.subnetwork().trains(id))
            for (const auto i : unit::elements_of(sync.subnetwork().slabs(id)[0], s.model.parameters()[p].shape))
                own.push_back(gradient_of(rank, p, i));
        auto& g = gradients.emplace_back(own);
        if (options.shared_gradients && !own.empty()) {
            g = std::span(static_cast<float*>(sync.gradient_memory(id).data), own.size());
            std::ranges::copy(own, g.begin());
        }
    }
    if (weight > 0)
        sync.begin_step(weight);
    for (std::size_t p = gradients.size(); p-- > 0;)
        if (!gradients[p].empty())
            sync.ready(sdp::parameter_id(p), gradients[p]);
    sync.finish();
    sent = sync.step_traffic();
    std::vector<float> out;
    for (const auto& g : gradients)
        out.insert(out.end(), g.begin(), g.end());
    return out;
}

/// Two groups of blocks, so that what is shared is whole matrices, and a matrix that all share.
unit::scene whole_matrices(int world)
{
    sdp::model m;
    for (int b = 0; b < 4; ++b) {
        const auto block = m.add_block("block" + std::to_string(b));
        m.add_parameter("matrix" + std::to_string(b), {60, 70}, {.within = block});
    }
    m.add_parameter("head", {60, 70});
    sdp::assignment a(m, world);
    for (int b = 0; b < 4; ++b)
        a.assign(sdp::block_id(static_cast<std::size_t>(b)), b % 2 == 0 ? sdp::rank_set {0, 1, 2} : sdp::rank_set {2, 3});
    return {m, world, a, {}, unit::elements_of(m, a, {}), sdp::residency(m, a, sdp::forward_masking {})};
}

struct own_failure : std::runtime_error {
    using std::runtime_error::runtime_error;
};

} // namespace

TEST_CASE("routes add up to what is trained with others, each under the name of its choice")
{
    using choice = sdp::route_choice;
    for (std::uint64_t seed = 0; seed < 120; ++seed) {
        const auto s = unit::random_scene(seed);
        const sdp::thread_group second(s.world);
        sdp::run_workers(s.world, [&](sdp::thread_communicator comm) {
            CAPTURE(seed);
            for (const auto update : {sdp::update_mode::average, sdp::update_mode::owner_update}) {
                sdp::synchronizer_options options;
                options.update = update;
                const bool swaps = update == sdp::update_mode::average;
                const auto messages = [swaps](int k) { return std::string(swaps && k == 2 ? "swap" : "two-sided"); };
                const auto native = [&, world = s.world](int k) { return k == world ? std::string("native") : messages(k); };
                const auto named = [](const char* name) { return [name](int) { return std::string(name); }; };
                const auto with = [&](choice route) {
                    options.route = route;
                    return options;
                };
                REQUIRE(flaw_of_routes(s, comm, with(choice::fastest), named("threads")) == "");
                REQUIRE(flaw_of_routes(s, comm, with(choice::memory), named("threads")) == "");
                REQUIRE(flaw_of_routes(s, comm, with(choice::swap), messages) == "");
                REQUIRE(flaw_of_routes(s, comm, with(choice::two_sided), named("two-sided")) == "");
                const messages_only poor(comm);
                REQUIRE(flaw_of_routes(s, poor, with(choice::fastest), messages) == "");
                REQUIRE(flaw_of_routes(s, poor, with(choice::swap), messages) == "");
                REQUIRE(flaw_of_routes(s, poor, with(choice::two_sided), named("two-sided")) == "");
                const summing rich(comm, second.communicator(comm.rank()));
                REQUIRE(flaw_of_routes(s, rich, with(choice::native), native) == "");
                REQUIRE(flaw_of_routes(s, rich, with(choice::fastest), messages) == "");
            }
        });
    }
}

TEST_CASE("a choice that the communicator has no means for is refused")
{
    const auto s = unit::random_scene(1);
    sdp::run_workers(s.world, [&](sdp::thread_communicator comm) {
        sdp::synchronizer_options memory, native;
        memory.route = sdp::route_choice::memory;
        native.route = sdp::route_choice::native;
        const messages_only poor(comm);
        CHECK(unit::flaw([&] { sdp::synchronizer(s.model, s.residents, poor, memory); },
                  {"route is memory", "do not reach", "peer_memory"})
            == "");
        CHECK(unit::flaw([&] { sdp::synchronizer(s.model, s.residents, poor, native); },
                  {"route is native", "no all-reduce", "native_all_reduce"})
            == "");
        CHECK(unit::flaw([&] { sdp::synchronizer(s.model, s.residents, comm, native); }, {"route is native", "native_all_reduce"})
            == "");
    });
}

TEST_CASE("what all workers hold may be summed by the transport, beside other ways for the rest")
{
    for (std::uint64_t seed = 0; seed < 80; ++seed) {
        const auto s = unit::random_scene(seed);
        for (const bool weighted : {false, true}) {
            const sdp::thread_group second(s.world);
            sdp::run_workers(s.world, [&](sdp::thread_communicator comm) {
                sdp::synchronizer_options options;
                options.bucket_bytes = seed % 2 == 0 ? 1 : 200;
                options.local.buckets_in_flight = 1 + static_cast<int>(seed % 3);
                options.normalizer = seed % 5 == 0 ? sdp::normalizer::world : sdp::normalizer::holders;
                const double weight = weighted ? 1 + comm.rank() : 0;
                sdp::traffic sent;
                const auto plain = gradients_after_step(s, comm, options, weight, sent);
                options.route = sdp::route_choice::native;
                const auto native
                    = gradients_after_step(s, summing(comm, second.communicator(comm.rank())), options, weight, sent);
                CAPTURE(seed);
                CAPTURE(weighted);
                REQUIRE(native == plain); // this transport sums in rank order too
            });
        }
    }
}

TEST_CASE("the transport's sums count as the bytes of the best all-reduce there is")
{
    sdp::model m;
    for (int p = 0; p < 5; ++p)
        m.add_parameter("parameter" + std::to_string(p), {12, 10});
    constexpr int world = 4;
    const sdp::assignment a(m, world);
    const unit::scene s {m, world, a, {}, unit::elements_of(m, a, {}), sdp::residency(m, a, sdp::forward_masking {})};
    const sdp::thread_group second(world);
    sdp::run_workers(world, [&](sdp::thread_communicator comm) {
        sdp::synchronizer_options options;
        options.route = sdp::route_choice::native;
        sdp::traffic sent;
        (void)gradients_after_step(s, summing(comm, second.communicator(comm.rank())), options, 0, sent);
        CHECK(sent.bytes() == sdp::bytes_per_step(m, s.residents, comm.rank())); // 600 elements are a multiple of 4
    });
}

TEST_CASE("gradients that lie in the library's memory are sent from there where they are consecutive")
{
    using choice = sdp::route_choice;
    std::vector<unit::scene> scenes {whole_matrices(4)};
    for (std::uint64_t seed = 0; seed < 60; ++seed)
        scenes.push_back(unit::random_scene(seed));
    for (std::size_t number = 0; number < scenes.size(); ++number) {
        const auto& s = scenes[number];
        sdp::run_workers(s.world, [&](sdp::thread_communicator comm) {
            for (const auto route : {choice::fastest, choice::two_sided})
                for (const auto update : {sdp::update_mode::average, sdp::update_mode::owner_update}) {
                    sdp::synchronizer_options options;
                    options.route = route;
                    options.update = update;
                    options.bucket_bytes = number % 3 == 0 ? 1 : 600;
                    const double weight = number % 2 == 0 ? 0 : 1 + comm.rank();
                    sdp::traffic sent, sent_in_place;
                    const auto packed = gradients_after_step(s, messages_only(comm), options, weight, sent);
                    options.shared_gradients = true;
                    const auto in_place = gradients_after_step(s, messages_only(comm), options, weight, sent_in_place);
                    CAPTURE(number);
                    REQUIRE(in_place == packed);
                    REQUIRE(sent_in_place == sent);
                }
        });
    }
}

TEST_CASE("what is sent from where it lies needs no room to be packed, and has to lie there")
{
    const auto s = whole_matrices(4);
    constexpr std::size_t matrix = 60 * 70 * sizeof(float);
    sdp::run_workers(4, [&](sdp::thread_communicator comm) {
        sdp::synchronizer_options options;
        options.bucket_bytes = 1;
        options.local.buckets_in_flight = 5;
        const auto lines = [](std::size_t bytes) { return (bytes + 63) / 64 * 64; };
        // Of a matrix with k holders a worker packs what k − 1 others own, and receives what it owns from k − 1 others; a swap is
        // the whole matrix each way.
        const auto received = [&](std::size_t k) { return k == 2 ? lines(matrix) : (k - 1) * lines(matrix / k); };
        const std::size_t sets = comm.rank() == 2 ? 2 : comm.rank() == 3 ? 0 : 2; // blocks that three hold
        const std::size_t pairs = comm.rank() >= 2 ? 2 : 0;
        const std::size_t all = received(4) + sets * received(3) + pairs * received(2);
        sdp::synchronizer packed(s.model, s.residents, messages_only(comm), options);
        CHECK(packed.buffer_bytes() == 2 * all);
        options.shared_gradients = true;
        sdp::synchronizer in_place(s.model, s.residents, messages_only(comm), options);
        CHECK(in_place.buffer_bytes() == all);
        std::vector<float> elsewhere(60 * 70);
        CHECK_THROWS_WITH_AS(in_place.bind_gradient(sdp::parameter_id(4), elsewhere),
            doctest::Contains("must lie in gradient_memory"), sdp::error);
        options.wire = sdp::wire_format::bf16; // what travels is not what lies there
        sdp::synchronizer rounded(s.model, s.residents, messages_only(comm), options);
        rounded.bind_gradient(sdp::parameter_id(4), elsewhere);
        CHECK(rounded.buffer_bytes() < 2 * all);
    });
}

/// Of what goes from 0 to 1, the rows that two hold come before those that three hold in the gradient, and after them in a
/// message.
TEST_CASE("a message with a swapped part and one for its owner is not sent from a gradient that has them the other way round")
{
    sdp::model m;
    const auto g = m.add_group("neurons", 8);
    m.add_parameter("scalar", {1}); // so that the next elements of its class have another first owner
    m.add_parameter("matrix", {8, 96}, {.axes = {{0, g}}});
    sdp::assignment a(m, 3);
    a.assign(g, std::vector<sdp::neuron_unit> {{0, 4, {0, 1}}, {4, 8, {0, 1, 2}}});
    const unit::scene s {m, 3, a, {}, unit::elements_of(m, a, {}), sdp::residency(m, a, sdp::forward_masking {})};
    for (const std::size_t bucket_bytes : {std::size_t {1}, std::size_t {1} << 20})
        sdp::run_workers(3, [&](sdp::thread_communicator comm) {
            sdp::synchronizer_options options;
            options.route = sdp::route_choice::swap;
            options.bucket_bytes = bucket_bytes;
            sdp::traffic sent;
            const auto packed = gradients_after_step(s, comm, options, 0, sent);
            options.shared_gradients = true;
            CHECK(gradients_after_step(s, comm, options, 0, sent) == packed);
        });
}

/// Rank 0 owns the only element that goes through memory, and waits for a message of rank 1, who waits for that element.
TEST_CASE("what was done in memory is told before messages are waited for")
{
    sdp::model m;
    const auto g = m.add_group("neurons", 1);
    m.add_parameter("short", {64});
    m.add_parameter("long", {1024});
    m.add_parameter("scalar", {1}, {.axes = {{0, g}}});
    sdp::assignment a(m, 3);
    a.assign(g, std::vector<sdp::neuron_unit> {{0, 1, {0, 1}}});
    const sdp::residency residents(m, a, sdp::forward_masking {});
    sdp::run_workers(3, [&](sdp::thread_communicator comm) {
        sdp::synchronizer_options options;
        options.bucket_bytes = 1;
        options.local.buckets_in_flight = 1;
        options.local.timeout = 20s;
        options.costs = {.messages = {1000, 0}, .memory = {0, 1000}}; // the scalar through memory, the others not
        sdp::synchronizer sync(m, residents, comm, options);
        std::vector<std::vector<float>> gradients {std::vector<float>(64), std::vector<float>(1024), std::vector<float>(1)};
        const auto start = std::chrono::steady_clock::now();
        for (int step = 0; step < 3; ++step) {
            if (comm.rank() == 0)
                std::this_thread::sleep_for(30ms);
            for (std::size_t p = 0; p < 3; ++p)
                if (sync.subnetwork().trains(sdp::parameter_id(p)))
                    sync.ready(sdp::parameter_id(p), gradients[p]);
            sync.finish();
        }
        CHECK(std::chrono::steady_clock::now() - start < 15s); // whoever is not woken sleeps for the whole time-out
    });
}

/// Rank 2 fails with one gradient outstanding, when its peers may be about to read or write the others. To be run under the
/// sanitizers, which see a use after the end.
TEST_CASE("a worker that fails while its gradients are exposed ends the others, and nobody touches its tensors after")
{
    constexpr int world = 4, parameters = 5;
    sdp::model m;
    const auto g = m.add_group("neurons", 40);
    for (int p = 0; p < parameters; ++p) // long runs, which peers work on in place, and short ones, which are packed
        m.add_parameter("parameter" + std::to_string(p), {40, p % 2 == 0 ? 600 : 3}, {.axes = {{0, g}}});
    m.add_parameter("columns", {300, 40}, {.axes = {{1, g}}});
    sdp::assignment a(m, world);
    a.assign(
        g, std::vector<sdp::neuron_unit> {{0, 10, {0, 1, 2, 3}}, {10, 20, {1, 2}}, {20, 30, {0, 2, 3}}, {30, 40, {0, 1, 2, 3}}});
    const sdp::residency residents(m, a, sdp::forward_masking {});
    unit::random r(5);
    for (int round = 0; round < 120; ++round) {
        constexpr std::array routes {
            sdp::route_choice::fastest, sdp::route_choice::memory, sdp::route_choice::swap, sdp::route_choice::two_sided};
        sdp::synchronizer_options options;
        // Mostly through memory, where the others reach into what goes.
        options.route = round % 4 < 3 ? routes[0] : routes[static_cast<std::size_t>(round / 4 % 4)];
        options.wire = round % 3 == 0 ? sdp::wire_format::bf16 : sdp::wire_format::as_is;
        options.bucket_bytes = round % 2 == 0 ? 1 : 1 << 16;
        options.local.buckets_in_flight = 1 + round % 4;
        options.local.timeout = 60s;
        const bool complete_step_first = round % 5 == 0;
        const int delay = r.below(300);
        std::atomic<int> aborted = 0;
        CHECK_THROWS_AS(sdp::run_workers(world,
                            [&](sdp::thread_communicator comm) {
                                // Before the synchronizer, so that they outlive it.
                                std::vector<std::vector<float>> gradients;
                                for (std::size_t p = 0; p < m.parameters().size(); ++p)
                                    gradients.emplace_back();
                                sdp::synchronizer sync(m, residents, comm, options);
                                for (std::size_t p = 0; p < gradients.size(); ++p)
                                    gradients[p].assign(
                                        static_cast<std::size_t>(sync.subnetwork().shape(sdp::parameter_id(p)).product()), 1.0F);
                                const auto ready = [&](std::size_t from) {
                                    for (std::size_t p = gradients.size(); p-- > from;)
                                        sync.ready(sdp::parameter_id(p), gradients[p]);
                                };
                                if (complete_step_first) {
                                    ready(0);
                                    sync.finish();
                                }
                                if (comm.rank() == 2) {
                                    ready(1);
                                    // Somewhere in the others' work.
                                    const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(delay);
                                    while (std::chrono::steady_clock::now() < end)
                                        std::this_thread::yield();
                                    throw own_failure("in the middle of a step");
                                }
                                try {
                                    ready(0);
                                    sync.finish();
                                } catch (const sdp::aborted_error& e) {
                                    // Either the cause, or somebody whom it took along and whose tensors are gone.
                                    const std::string sentence = e.what();
                                    if (sentence.find("rank 2 has failed") == std::string::npos
                                        && sentence.find("ended within a step") == std::string::npos)
                                        FAIL_CHECK(sentence);
                                    ++aborted;
                                    throw;
                                }
                            }),
            own_failure);
        CHECK(aborted == world - 1);
    }
}

TEST_CASE("what the failing worker threw comes out, also when others notice that its memory is gone before it has ended")
{
    sdp::model m;
    m.add_parameter("weight", {100});
    const sdp::residency residents(m, sdp::assignment(m, 2), sdp::forward_masking {});
    std::atomic<bool> gone = false;
    /// Ends after the synchronizer has, and late: when the other worker has been told.
    struct last_to_go {
        sdp::thread_communicator comm;
        std::atomic<bool>& gone;
        ~last_to_go()
        {
            gone = true;
            const auto end = std::chrono::steady_clock::now() + 10s;
            while (comm.group().failing_rank() < 0 && std::chrono::steady_clock::now() < end)
                std::this_thread::yield();
        }
    };
    const auto fails = [&](sdp::thread_communicator comm) {
        const last_to_go last {comm, gone};
        std::vector<float> gradient(100, 1.0F);
        sdp::synchronizer sync(m, residents, comm, sdp::synchronizer_options {});
        sync.ready(sdp::parameter_id(0), gradient);
        throw own_failure("in the middle of a step");
    };
    const auto goes_on = [&](sdp::thread_communicator comm) {
        std::vector<float> gradient(100, 1.0F);
        sdp::synchronizer sync(m, residents, comm, sdp::synchronizer_options {});
        while (!gone)
            std::this_thread::yield();
        sync.ready(sdp::parameter_id(0), gradient);
        sync.finish();
    };
    CHECK_THROWS_AS(sdp::run_workers(2,
                        [&](sdp::thread_communicator comm) {
                            if (comm.rank() == 1)
                                fails(comm);
                            else
                                goes_on(comm);
                        }),
        own_failure);
}
