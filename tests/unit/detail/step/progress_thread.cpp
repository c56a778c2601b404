// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <support/delayed_communicator.hpp>
#include <support/messages_only.hpp>

#include <sdp/comm/threads.hpp>
#include <sdp/data_parallel.hpp>
#include <sdp/masking/forward.hpp>
#include <sdp/partition/neuron.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

namespace {

/// The gradients after some steps of a worker that computes for a while between one `ready` and the next.
template <class C> std::vector<float> train(C comm, bool with_thread, sdp::wire_format wire)
{
    sdp::model m;
    const auto g = m.add_group("neurons", 8);
    for (int p = 0; p < 6; ++p)
        m.add_parameter("matrix " + std::to_string(p), {8, 40}, {.axes = {{0, g}}});
    sdp::synchronizer_options options;
    options.bucket_bytes = 1;
    options.local.buckets_in_flight = 2;
    options.wire = wire;
    options.local.progress_thread = with_thread;
    options.local.timeout = 1min;
    sdp::data_parallel net(m, sdp::neuron_partition {.coverage = 0.75}, sdp::forward_masking {}, std::move(comm), options);
    std::vector<std::vector<float>> gradients;
    for (int step = 0; step < 3; ++step) {
        gradients.resize(m.parameters().size());
        for (std::size_t p = gradients.size(); p-- > 0;) {
            const auto id = sdp::parameter_id(p);
            gradients[p].resize(static_cast<std::size_t>(net.subnetwork().shape(id).product()));
            for (std::size_t i = 0; i < gradients[p].size(); ++i)
                gradients[p][i]
                    = static_cast<float>((i * 37 + p * 11 + static_cast<std::size_t>(net.rank() * 5 + step)) % 101) / 7;
            net.ready(id, gradients[p]);
            std::this_thread::sleep_for(1ms);
        }
        net.finish();
        static_cast<void>(net.gradient_norm());
    }
    std::vector<float> out;
    for (const auto& each : gradients)
        out.insert(out.end(), each.begin(), each.end());
    return out;
}

template <class Make> void same_with_and_without(Make make)
{
    for (const auto wire : {sdp::wire_format::as_is, sdp::wire_format::bf16}) {
        std::vector<std::vector<float>> without(4), with(4);
        sdp::run_workers(4, [&](sdp::thread_communicator comm) {
            const auto rank = static_cast<std::size_t>(comm.rank());
            without[rank] = train(make(comm), false, wire);
            with[rank] = train(make(comm), true, wire);
        });
        CHECK(with == without);
    }
}

/// Counts exchanges that are started on another thread than the one it was made on.
class watched : public support::messages_only {
public:
    explicit watched(sdp::thread_communicator inner)
        : messages_only(std::move(inner))
    {
    }
    [[nodiscard]] sdp::thread_exchange exchange(
        sdp::exchange_tag tag, std::span<const sdp::outgoing> sends, std::span<const sdp::incoming> receives) const
    {
        if (std::this_thread::get_id() != host_)
            ++*elsewhere_;
        return messages_only::exchange(tag, sends, receives);
    }
    [[nodiscard]] const std::atomic<int>& elsewhere() const { return *elsewhere_; }

private:
    std::thread::id host_ = std::this_thread::get_id();
    std::shared_ptr<std::atomic<int>> elsewhere_ = std::make_shared<std::atomic<int>>(0);
};

} // namespace

TEST_CASE("a thread that makes progress does not show in the result")
{
    same_with_and_without([](sdp::thread_communicator comm) { return comm; });
    same_with_and_without([](sdp::thread_communicator comm) { return support::delayed_communicator(comm, {.latency = 300us}); });
}

TEST_CASE("the thread sums and sends on what arrives while the host calls nothing")
{
    std::atomic<int> waiting = 0;
    sdp::run_workers(4, [&](sdp::thread_communicator inner) {
        sdp::model m;
        m.add_parameter("matrix", {40, 40});
        sdp::synchronizer_options options;
        options.local.progress_thread = true;
        options.local.timeout = 1min;
        const watched comm(inner);
        sdp::data_parallel net(m, sdp::pinned {}, sdp::forward_masking {}, comm, options);
        std::vector<float> gradient(1600, static_cast<float>(net.rank()));
        const auto end = std::chrono::steady_clock::now() + 1min;
        const auto wait_for = [end](auto done) {
            while (!done() && std::chrono::steady_clock::now() < end)
                std::this_thread::sleep_for(1ms);
            return done();
        };
        // Nobody has all of a mean before the last one's gradient is there, and the others call nothing then.
        if (net.rank() == 3)
            CHECK(wait_for([&] { return waiting == 3; }));
        net.ready(sdp::parameter_id(0), gradient);
        if (net.rank() != 3) {
            ++waiting;
            CHECK(wait_for([&] { return comm.elsewhere() > 0; }));
        }
        net.finish();
        CHECK(gradient == std::vector<float>(1600, 1.5F));
    });
}

TEST_CASE("the thread ends when it is told to, although there is more to do")
{
    std::atomic<int> pushes = 0;
    sdp::detail::progress_thread thread;
    thread.start([&] {
        ++pushes;
        return true;
    });
    {
        const auto lock = thread.lock();
        thread.wake();
    }
    while (pushes < 3)
        std::this_thread::yield();
    thread.stop();
    const int so_far = pushes;
    std::this_thread::sleep_for(5ms);
    CHECK(pushes == so_far);
}
