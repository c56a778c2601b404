// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief A communicator around another whose messages take as long as over a link of a given latency and bandwidth.
///
/// For tests and benchmarks of what is hidden behind a computation: within one machine a message is a copy, which is over at
/// once but costs the processor; over a network it takes long and costs the processor nothing.

#include <sdp/comm/communicator.hpp>
#include <sdp/error.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <thread>
#include <utility>
#include <vector>

namespace support {

struct link_speed {
    std::chrono::nanoseconds latency {0}; ///< of every message
    double bytes_per_second = 1e9; ///< that a worker sends; its messages leave one behind the other
};

/// Cost of the workers' waits, counted per handle's origin.
struct link_counters {
    std::uint64_t posted = 0; ///< exchanges
    std::uint64_t arrived = 0; ///< exchanges found complete
    std::uint64_t fruitless = 0; ///< tests that found nothing
    std::chrono::nanoseconds fruitless_time {0};
    std::chrono::nanoseconds waiting_time {0}; ///< inside of waits that ended well
};

namespace detail {

    using delay_clock = std::chrono::steady_clock; ///< one for all processes of a machine

    struct link {
        link_speed speed;
        delay_clock::time_point free {}; ///< when the last byte has left
        link_counters counters;
    };

} // namespace detail

/// An exchange under way. Complete when the communicator inside says so and its time has come.
template <sdp::communicator C> class delayed_exchange {
public:
    delayed_exchange() = default;

    [[nodiscard]] bool test()
    {
        if (!state_)
            return true;
        auto& counters = state_->link->counters;
        const auto start = detail::delay_clock::now();
        // The bytes move as soon as they can, as a network card would move them; only nobody is told.
        state_->stamps_here = state_->stamps_here || state_->stamped.test();
        state_->bytes_here = state_->bytes_here || state_->moved.test();
        const bool arrived = state_->stamps_here && state_->bytes_here && detail::delay_clock::now() >= due();
        if (arrived) {
            ++counters.arrived;
            state_.reset();
        } else {
            ++counters.fruitless;
            counters.fruitless_time += detail::delay_clock::now() - start;
        }
        return arrived;
    }

    void wait(std::chrono::milliseconds limit)
    {
        if (!state_)
            return;
        const auto start = detail::delay_clock::now(), end = start + limit;
        const auto left = [&] { return std::chrono::duration_cast<std::chrono::milliseconds>(end - detail::delay_clock::now()); };
        if (!state_->bytes_here)
            state_->moved.wait(limit); // names who is late
        state_->bytes_here = true;
        if (!state_->stamps_here)
            state_->stamped.wait(std::max(left(), std::chrono::milliseconds(1)));
        state_->stamps_here = true;
        std::this_thread::sleep_until(std::min(due(), end));
        if (due() > end)
            sdp::detail::fail<sdp::timeout_error>("messages were still on the delayed link after ", limit.count(), " ms");
        auto& counters = state_->link->counters;
        ++counters.arrived;
        counters.waiting_time += detail::delay_clock::now() - start;
        state_.reset();
    }

private:
    template <sdp::communicator> friend class delayed_communicator;

    struct state {
        std::shared_ptr<detail::link> link;
        std::int64_t leaves = 0; ///< when the last of the messages to others has left, in the clock's ticks
        std::vector<std::int64_t> stamps; ///< when each message to others arrives
        std::vector<std::int64_t> due; ///< when each message from others arrives, as its sender says
        sdp::pending_of<C> stamped, moved;
        bool stamps_here = false, bytes_here = false;
    };

    [[nodiscard]] detail::delay_clock::time_point due() const
    {
        auto latest = state_->leaves;
        for (const auto at : state_->due)
            latest = std::max(latest, at);
        return detail::delay_clock::time_point(detail::delay_clock::duration(latest));
    }

    std::unique_ptr<state> state_; ///< apart, because the stamps are received into it
};

/// Sends through `C` a small message behind every message, which says when that one arrives. Models `communicator`,
/// and `ordered_exchange` and `abortable` if `C` does. Copies share one link. For processes, all on one machine.
template <sdp::communicator C> class delayed_communicator {
public:
    static constexpr bool ordered_exchange = sdp::ordered_exchange<C>;

    delayed_communicator(C inner, link_speed speed)
        : inner_(std::move(inner))
        , link_(std::make_shared<detail::link>(detail::link {speed, {}, {}}))
    {
    }

    [[nodiscard]] int rank() const { return std::as_const(inner_).rank(); }
    [[nodiscard]] int size() const { return std::as_const(inner_).size(); }

    [[nodiscard]] delayed_exchange<C> exchange(
        sdp::exchange_tag tag, std::span<const sdp::outgoing> sends, std::span<const sdp::incoming> receives)
    {
        auto s = std::make_unique<typename delayed_exchange<C>::state>();
        // Messages equal in peers and tag are matched in order of posting, and both ends post the stamps second. Bad arguments
        // are refused by the first, before anything is posted.
        s->moved = inner_.exchange(tag, sends, receives);
        s->link = link_;
        link_->free = std::max(link_->free, detail::delay_clock::now());
        s->due.resize(receives.size());
        s->stamps.resize(sends.size());
        std::vector<sdp::outgoing> stamps_out;
        std::vector<sdp::incoming> stamps_in;
        for (std::size_t i = 0; i < sends.size(); ++i) {
            link_->free += std::chrono::duration_cast<detail::delay_clock::duration>(
                std::chrono::duration<double>(static_cast<double>(sends[i].bytes) / link_->speed.bytes_per_second));
            s->stamps[i] = (link_->free + link_->speed.latency).time_since_epoch().count();
            stamps_out.push_back({sends[i].peer, &s->stamps[i], sizeof(std::int64_t)});
        }
        for (std::size_t i = 0; i < receives.size(); ++i)
            stamps_in.push_back({receives[i].peer, &s->due[i], sizeof(std::int64_t)});
        s->leaves = sends.empty() ? 0 : link_->free.time_since_epoch().count();
        s->stamped = inner_.exchange(tag, stamps_out, stamps_in);
        ++link_->counters.posted;
        delayed_exchange<C> out;
        out.state_ = std::move(s);
        return out;
    }

    void abort() requires sdp::abortable<C> { inner_.abort(); }

    [[nodiscard]] const link_counters& counters() const { return link_->counters; }

private:
    C inner_;
    std::shared_ptr<detail::link> link_;
};

} // namespace support
