// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief A route from outside of the library: letters on a board that all workers share. The host engine takes it as a template
/// argument, and steps over it give the same bits and count the same bytes as steps over messages.

#include <unit/cases.hpp>

#include <support/allocation_count.hpp>
#include <support/messages_only.hpp>

#include <sdp/comm/threads.hpp>
#include <sdp/data_parallel.hpp>
#include <sdp/detail/host/exchange_route.hpp>
#include <sdp/masking/forward.hpp>
#include <sdp/partition/neuron.hpp>

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;

enum class content { gradients, means };

/// Letters between workers. Of each kind two may lie there: a sender is at most one step ahead of a receiver.
class board {
public:
    using address = std::tuple<int, int, std::size_t, content>; ///< sender, receiver, bucket

    void put(const address& to, std::size_t step, const std::byte* from, std::size_t bytes)
    {
        const std::lock_guard lock(mutex_);
        auto& slot = letters_[to][step % 2];
        slot.bytes.assign(from, from + bytes);
        slot.step = step;
        ++count_;
        arrived_.notify_all();
    }
    [[nodiscard]] bool has(const address& from, std::size_t step)
    {
        const std::lock_guard lock(mutex_);
        return letters_[from][step % 2].step == step;
    }
    void take(const address& from, std::size_t step, std::byte* to, std::chrono::milliseconds limit)
    {
        std::unique_lock lock(mutex_);
        auto& slot = letters_[from][step % 2];
        if (!arrived_.wait_for(lock, limit, [&] { return slot.step == step; }))
            throw sdp::timeout_error("there is no letter from rank " + std::to_string(std::get<0>(from)));
        std::memcpy(to, slot.bytes.data(), slot.bytes.size());
    }

    [[nodiscard]] std::size_t count() const { return count_; }
    std::atomic<int> abandoned = 0; ///< routes

private:
    struct letter {
        std::size_t step = 0;
        std::vector<std::byte> bytes;
    };
    std::mutex mutex_;
    std::condition_variable arrived_;
    std::map<address, std::array<letter, 2>> letters_;
    std::size_t count_ = 0;
};

/// Workers that write letters. Their messages are counted, unless they carry control data.
class writer : public support::messages_only {
public:
    writer(sdp::thread_communicator inner, board& letters, std::atomic<int>& messages)
        : messages_only(std::move(inner))
        , letters_(&letters)
        , messages_(&messages)
    {
    }
    [[nodiscard]] auto exchange(
        sdp::exchange_tag tag, std::span<const sdp::outgoing> sends, std::span<const sdp::incoming> receives) const
    {
        if (tag < sdp::detail::first_control_tag)
            *messages_ += static_cast<int>(sends.size());
        return messages_only::exchange(tag, sends, receives);
    }
    [[nodiscard]] board& letters() const { return *letters_; }

private:
    board* letters_;
    std::atomic<int>* messages_;
};

/// The route: what messages would carry goes in letters.
class letter_route : public sdp::detail::absent_route {
public:
    explicit letter_route(const sdp::detail::route_parts<writer>& parts)
        : board_(&parts.comm.letters())
        , rank_(parts.comm.rank())
        , buffers_(&parts.buffers)
        , passes_(&parts.passes)
        , sent_(&parts.sent)
        , wait_(parts.wait)
        , phases_(parts.buffers.buckets().size(), phase::idle)
    {
    }

    void begin_step() { ++step_; }

    void launch(std::size_t b)
    {
        for (std::size_t i = 0; i < peers(b).size(); ++i)
            sent_->reduce_bytes
                += put(b, i, content::gradients, buffers_->sent_from(b, i), peers(b)[i].to_owner + peers(b)[i].swapped);
        phases_[b] = phase::reducing;
    }

    void progress(std::size_t first, std::size_t last)
    {
        for (std::size_t b = first; b < last; ++b) {
            if (phases_[b] == phase::reducing && all_arrived(b, content::gradients))
                reduce(b);
            if (phases_[b] == phase::publishing && all_arrived(b, content::means))
                complete(b);
        }
    }

    void reduce(std::size_t b)
    {
        if (phases_[b] != phase::reducing)
            return;
        for (std::size_t i = 0; i < peers(b).size(); ++i)
            if (expects(b, i, content::gradients))
                wait_(b, "gradients", [&](auto limit) {
                    board_->take(from(b, i, content::gradients), step_, buffers_->at(b, peers(b)[i].receive_at), limit);
                });
        passes_->reduce(b, false);
        phases_[b] = phase::idle;
        if (buffers_->values_to_trainers())
            return;
        for (std::size_t i = 0; i < peers(b).size(); ++i)
            sent_->publish_bytes += put(b, i, content::means, buffers_->returned_from(b, i), peers(b)[i].from_trainer);
        phases_[b] = phase::publishing;
    }

    void complete(std::size_t b)
    {
        if (phases_[b] == phase::publishing)
            for (std::size_t i = 0; i < peers(b).size(); ++i)
                if (expects(b, i, content::means))
                    wait_(b, "mean gradients",
                        [&](auto limit) { board_->take(from(b, i, content::means), step_, buffers_->sent_from(b, i), limit); });
        phases_[b] = phase::idle;
    }

    [[nodiscard]] bool idle(std::size_t b) const { return phases_[b] == phase::idle; }
    void abandon() noexcept { ++board_->abandoned; }

private:
    using phase = sdp::detail::phase;

    [[nodiscard]] std::span<const sdp::detail::peer_share> peers(std::size_t b) const { return buffers_->buckets()[b].peers; }
    [[nodiscard]] int peer(std::size_t i) const { return buffers_->peers().ranks[i]; }
    [[nodiscard]] board::address from(std::size_t b, std::size_t i, content c) const { return {peer(i), rank_, b, c}; }

    [[nodiscard]] std::size_t put(std::size_t b, std::size_t i, content c, const std::byte* data, std::size_t elements)
    {
        const std::size_t bytes = elements * buffers_->wire_size_of(b);
        if (bytes > 0) {
            board_->put({rank_, peer(i), b, c}, step_, data, bytes);
            ++sent_->messages;
        }
        return bytes;
    }
    [[nodiscard]] bool expects(std::size_t b, std::size_t i, content c) const
    {
        const auto& s = peers(b)[i];
        return c == content::gradients ? s.from_trainer + s.swapped > 0 : s.to_owner > 0;
    }
    [[nodiscard]] bool all_arrived(std::size_t b, content c) const
    {
        for (std::size_t i = 0; i < peers(b).size(); ++i)
            if (expects(b, i, c) && !board_->has(from(b, i, c), step_))
                return false;
        return true;
    }

    board* board_;
    int rank_;
    sdp::detail::bucket_buffers* buffers_;
    sdp::detail::bucket_passes* passes_;
    sdp::traffic* sent_;
    sdp::detail::bucket_wait wait_;
    std::vector<phase> phases_; ///< by bucket
    std::size_t step_ = 0;
};
static_assert(sdp::detail::exchange_route<letter_route>);

} // namespace

/// That is all it takes: an engine for these workers, with a list of routes of its own.
template <> struct sdp::detail::engine_for<writer> {
    using type = host_engine<writer, route_list<letter_route>>;
};

namespace {

sdp::model square(sdp::index_t size)
{
    sdp::model m;
    const auto g = m.add_group("neurons", size);
    m.add_parameter("rows", {size, size}, {.axes = {{0, g}}});
    m.add_parameter("columns", {size, size}, {.axes = {{1, g}}});
    return m;
}

/// Bits in which the order of a sum shows.
float gradient_of(int rank, std::size_t step, std::size_t parameter, std::size_t i)
{
    auto x = static_cast<std::uint32_t>(((step * 31 + static_cast<std::size_t>(rank)) * 17 + parameter) * 7919 + i) * 2654435761U;
    x ^= x >> 15;
    return static_cast<float>(x * 2246822519U >> 8) * 0x1p-23F - 1;
}

struct run_result {
    std::vector<std::vector<float>> gradients; ///< by step and parameter
    sdp::traffic sent;
    double norm = 0;
};

struct setting {
    double coverage;
    sdp::synchronizer_options options;
    bool weighted;
};

template <class C> run_result run(const setting& s, C comm)
{
    run_result out;
    sdp::data_parallel net(
        square(20), sdp::neuron_partition {.coverage = s.coverage}, sdp::forward_masking {}, std::move(comm), s.options);
    std::vector<std::vector<float>> gradients;
    for (std::size_t p = 0; p < 2; ++p) {
        const auto id = sdp::parameter_id(p);
        gradients.emplace_back(static_cast<std::size_t>(net.subnetwork().shape(id).product()));
        net.bind_gradient(id, gradients.back());
    }
    for (std::size_t step = 0; step < 4; ++step) {
        for (std::size_t p = 0; p < 2; ++p)
            for (std::size_t i = 0; i < gradients[p].size(); ++i)
                gradients[p][i] = gradient_of(net.rank(), step, p, i);
        if (s.weighted)
            net.begin_step(1 + net.rank() % 3);
        net.synchronize();
        for (const auto& g : gradients)
            out.gradients.push_back(g);
        out.norm += net.gradient_norm();
    }
    out.sent = net.total_traffic();
    return out;
}

} // namespace

TEST_CASE("a route from outside of the library gives the same bits and counts the same bytes as messages")
{
    constexpr int world = 4;
    for (const double coverage : {0.5, 0.75, 1.0})
        for (const auto update : {sdp::update_mode::average, sdp::update_mode::owner_update})
            for (const auto wire : {sdp::wire_format::as_is, sdp::wire_format::bf16})
                for (const bool small : {false, true}) {
                    setting s {coverage, {}, small};
                    s.options.update = update;
                    s.options.wire = wire;
                    if (small) {
                        s.options.bucket_bytes = 1;
                        s.options.local.buckets_in_flight = 1;
                    }
                    std::array<run_result, world> by_letters, by_messages;
                    board letters;
                    std::atomic<int> messages = 0;
                    sdp::run_workers(world, [&](sdp::thread_communicator inner) {
                        by_letters[static_cast<std::size_t>(inner.rank())] = run(s, writer(inner, letters, messages));
                    });
                    CHECK(letters.count() > 0);
                    CHECK(messages == 0); // no gradient went in a message
                    CHECK(letters.abandoned == 0);
                    sdp::run_workers(world, [&](sdp::thread_communicator inner) {
                        by_messages[static_cast<std::size_t>(inner.rank())] = run(s, support::messages_only(inner));
                    });
                    for (std::size_t rank = 0; rank < world; ++rank) {
                        const auto &a = by_letters[rank], &b = by_messages[rank];
                        REQUIRE(a.gradients.size() == b.gradients.size());
                        for (std::size_t i = 0; i < a.gradients.size(); ++i) {
                            REQUIRE(a.gradients[i].size() == b.gradients[i].size());
                            CHECK(std::memcmp(a.gradients[i].data(), b.gradients[i].data(), a.gradients[i].size() * sizeof(float))
                                == 0);
                        }
                        CHECK(a.norm == b.norm);
                        CHECK(a.sent.reduce_bytes == b.sent.reduce_bytes);
                        CHECK(a.sent.publish_bytes == b.sent.publish_bytes);
                        CHECK(a.sent.messages == b.sent.messages);
                    }
                }
}

TEST_CASE("after the first steps a route from outside allocates nothing, and neither does the engine")
{
    constexpr int world = 4;
    std::array<long, world> made {-1, -1, -1, -1};
    board letters;
    std::atomic<int> messages = 0;
    sdp::run_workers(world, [&](sdp::thread_communicator inner) {
        sdp::synchronizer_options options;
        options.bucket_bytes = 1;
        sdp::data_parallel net(square(16), sdp::neuron_partition {.coverage = 0.75}, sdp::forward_masking {},
            writer(inner, letters, messages), options);
        std::vector<std::vector<float>> gradients;
        for (std::size_t p = 0; p < 2; ++p) {
            gradients.emplace_back(static_cast<std::size_t>(net.subnetwork().shape(sdp::parameter_id(p)).product()), 1.0F);
            net.bind_gradient(sdp::parameter_id(p), gradients.back());
        }
        for (int i = 0; i < 3; ++i) // both letters of each kind
            net.synchronize();
        made[static_cast<std::size_t>(net.rank())] = support::allocations_of([&] {
            for (int i = 0; i < 20; ++i)
                net.synchronize();
        });
    });
    for (const auto count : made)
        CHECK(count == 0);
}

TEST_CASE("the engine abandons a route from outside when a wait takes too long, and the error names the bucket")
{
    board letters;
    std::atomic<int> messages = 0;
    std::string said;
    sdp::run_workers(2, [&](sdp::thread_communicator inner) {
        sdp::synchronizer_options options;
        options.local.timeout = 50ms;
        sdp::data_parallel net(
            square(8), sdp::neuron_partition {.coverage = 1}, sdp::forward_masking {}, writer(inner, letters, messages), options);
        if (net.rank() == 1)
            return; // writes no letter
        std::vector<std::vector<float>> gradients(2, std::vector<float>(64, 1.0F));
        for (std::size_t p = 0; p < 2; ++p)
            net.bind_gradient(sdp::parameter_id(p), gradients[p]);
        said = unit::flaw<sdp::timeout_error>(
            [&] { net.synchronize(); }, {"bucket 0 of 1", "gradients", "there is no letter from rank 1"});
    });
    CHECK(said == "");
    CHECK(letters.abandoned == 1);
}
