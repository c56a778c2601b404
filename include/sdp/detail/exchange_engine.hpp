// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Runs buckets through their phases: pack, reduce, publish, unpack; and values to who needs them.
///
/// Knows the communicator and what goes when, but nothing of elements, which are `bucket_work`'s, nor of what the host may do
/// when, which is the synchronizer's. After the first step it allocates nothing.
///
/// A bucket may go several ways at once: some classes in messages, some through memory, some through the transport's own
/// all-reduce. It is packed for all of them together and unpacked when all are done, so that a tensor is gone through once.

#include <sdp/comm/communicator.hpp>
#include <sdp/detail/bucket_work.hpp>
#include <sdp/detail/collectives.hpp>

#include <string_view>
#include <utility>
#include <vector>

namespace sdp::detail {

/// Complete at once, where the communicator has no all-reduce of its own.
template <class C> struct native_pending {
    struct type {
        [[nodiscard]] static bool test() noexcept { return true; }
        static void wait(std::chrono::milliseconds) noexcept { }
    };
};
template <native_all_reduce C> struct native_pending<C> {
    using type = decltype(std::declval<C&>().all_reduce(nullptr, std::size_t {}, element_type {}));
};

template <communicator C> class exchange_engine {
public:
    /// @param gradient_bytes by parameter; with `shared_gradients`, what there has to be room for
    exchange_engine(overlap_plan plan, std::vector<bucket> buckets, C comm, const synchronizer_options& options,
        std::span<const std::size_t> gradient_bytes)
        : comm_(std::move(comm))
        , options_(options)
        , work_(std::move(plan), std::move(buckets), comm_, options, gradient_bytes)
        , states_(work_.buckets().size())
    {
        outgoing_.reserve(work_.peers().ranks.size());
        incoming_.reserve(work_.peers().ranks.size());
    }

    [[nodiscard]] const overlap_plan& plan() const noexcept { return work_.plan(); }
    [[nodiscard]] std::span<const bucket> buckets() const noexcept { return work_.buckets(); }
    /// The elements, and the tensors that they are in.
    [[nodiscard]] bucket_work<C>& work() noexcept { return work_; }
    [[nodiscard]] const bucket_work<C>& work() const noexcept { return work_; }
    [[nodiscard]] std::size_t launched() const noexcept { return launched_; }
    /// Whether a started bucket is not done.
    [[nodiscard]] bool under_way() const noexcept { return oldest_ < launched_; }
    [[nodiscard]] C& comm() noexcept { return comm_; }
    [[nodiscard]] const traffic& sent() const noexcept { return sent_; }
    /// Makes ready for a step. `weights` are by rank, or empty for the plain mean, and must stay until the step is done.
    void begin_step(std::span<const double> weights)
    {
        launched_ = oldest_ = 0;
        work_.begin_step(weights);
    }

    /// Starts the next bucket. All ranks start them in the same order.
    void launch()
    {
        retracting([&] { launch_next(); });
    }

    /// Pushes what is under way, without waiting.
    void progress()
    {
        for (std::size_t b = oldest_; b < launched_; ++b) {
            auto& s = states_[b];
            if (!s.open)
                continue;
            if constexpr (!ordered_exchange<C>)
                if (s.messages == phase::reducing && s.pending.test())
                    reduce_messages(b);
            if (s.messages == phase::publishing && s.pending.test())
                s.messages = phase::idle;
            if constexpr (peer_memory<C>) {
                if (s.memory == phase::reducing && work_.memory().all_exposed(b))
                    reduce_memory(b);
                if (s.memory == phase::publishing && work_.memory().all_reduced(b))
                    s.memory = phase::idle;
            }
            if (s.messages == phase::idle && s.memory == phase::idle && s.native.test())
                close(b);
        }
        while (oldest_ < launched_ && !states_[oldest_].open)
            ++oldest_;
        if constexpr (peer_memory<C>)
            work_.memory().announce();
    }

    /// Waits until every started bucket is done.
    void drain()
    {
        retracting([&] { drain_all(); });
    }

    /// Sends the owners' values to those who store without training, and under owner update to the trainers too. A bucket at
    /// a time, so that one buffer serves.
    void publish_values()
    {
        for (std::size_t b = 0; b < work_.buckets().size(); ++b) {
            work_.pack_values(b);
            const std::size_t element = size_of(work_.buckets()[b].type);
            for (std::size_t i = 0; i < work_.peers().ranks.size(); ++i) {
                const auto& s = work_.buckets()[b].peers[i];
                add(b, i, element, s.values_out_at, s.values_out, s.values_in_at, s.values_in);
            }
            auto pending = post(b, 2, sent_.value_bytes);
            wait(b, "fresh values", [&](auto limit) { pending.wait(limit); });
            work_.unpack_values(b);
        }
    }

    /// Counts bytes of control data, which the callers send themselves.
    void count_control(std::uint64_t bytes) noexcept { sent_.control_bytes += bytes; }

private:
    enum class phase : std::uint8_t { idle, packed, reducing, publishing };
    struct state {
        bool open = false; ///< launched and not unpacked
        phase messages = phase::idle, memory = phase::idle;
        pending_of<C> pending {};
        typename native_pending<C>::type native {};
    };
    void add(std::size_t b, std::size_t peer, std::size_t element, std::size_t out_at, std::size_t out, std::size_t in_at,
        std::size_t in)
    {
        if (out > 0)
            outgoing_.push_back({work_.peers().ranks[peer], work_.at(b, out_at), out * element});
        if (in > 0)
            incoming_.push_back({work_.peers().ranks[peer], work_.at(b, in_at), in * element});
    }

    [[nodiscard]] pending_of<C> post(std::size_t b, int which, std::uint64_t& bytes)
    {
        if (outgoing_.empty() && incoming_.empty())
            return {};
        const auto tag
            = static_cast<exchange_tag>((b * 3 + static_cast<std::size_t>(which)) % static_cast<std::size_t>(first_control_tag));
        for (const auto& message : outgoing_)
            bytes += message.bytes;
        sent_.messages += outgoing_.size();
        auto pending = comm_.exchange(tag, outgoing_, incoming_);
        outgoing_.clear();
        incoming_.clear();
        return pending;
    }

    /// Through memory as many bytes cross between two workers as in messages, and they are counted alike.
    void count_memory(const peer_share& s, std::size_t element) noexcept
    {
        const std::size_t back = work_.values_to_trainers() ? 0 : s.read - s.paired;
        const std::size_t there = s.exposed + s.paired;
        sent_.reduce_bytes += there * element;
        sent_.publish_bytes += back * element;
        sent_.messages += (there > 0 ? 1U : 0U) + (back > 0 ? 1U : 0U);
    }

    template <class Wait> void wait(std::size_t b, std::string_view what, Wait wait)
    {
        try {
            wait(options_.timeout);
        } catch (const timeout_error& e) {
            fail<timeout_error>("bucket ", b, " of ", work_.buckets().size(), ", ", what, ": ", e.what());
        }
    }

    void launch_next()
    {
        if constexpr (ordered_exchange<C>)
            if (launched_ > 0) // without tags, a publish must come at the same place everywhere
                finish_messages(launched_ - 1);
        if (launched_ - oldest_ == work_.most_under_way())
            complete_oldest();
        const std::size_t b = launched_++;
        work_.pack(b);
        auto& s = states_[b];
        if constexpr (peer_memory<C>)
            if (work_.memory().concerns(b)) {
                s.memory = phase::packed;
                if constexpr (!C::one_address_space)
                    expose(b);
                for (const auto& share : work_.buckets()[b].peers)
                    count_memory(share, work_.wire_size_of(b));
            }
        if constexpr (native_all_reduce<C>)
            if (work_.buckets()[b].native > 0) {
                s.native = comm_.all_reduce(
                    work_.at(b, work_.buckets()[b].native_at), work_.buckets()[b].native, work_.buckets()[b].type);
                sent_.reduce_bytes += 2 * work_.buckets()[b].native * size_of(work_.buckets()[b].type)
                    * static_cast<std::size_t>(work_.plan().world - 1) / static_cast<std::size_t>(work_.plan().world);
            }
        const std::size_t element = work_.wire_size_of(b);
        for (std::size_t i = 0; i < work_.peers().ranks.size(); ++i) {
            const auto& share = work_.buckets()[b].peers[i];
            add(b, i, element, share.send_at, share.to_owner + share.swapped, share.receive_at,
                share.from_trainer + share.swapped);
        }
        s.messages = phase::reducing;
        s.pending = post(b, 0, sent_.reduce_bytes);
        s.open = true;
    }

    /// Where owners work in the host's own tensors, they may only while the host is in a call that returns when they are done:
    /// else an exception of the host's could free what others are about to write. So a bucket is exposed by who waits for it.
    void expose([[maybe_unused]] std::size_t b)
    {
        if constexpr (peer_memory<C>)
            if (states_[b].memory == phase::packed) {
                work_.memory().expose(b);
                states_[b].memory = phase::reducing;
            }
    }

    /// Takes back what is exposed if `action` throws.
    template <class Action> void retracting(Action action)
    {
        if constexpr (peer_memory<C>) {
            try {
                action();
            } catch (...) {
                work_.memory().retract();
                throw;
            }
        } else {
            action();
        }
    }

    void drain_all()
    {
        for (std::size_t b = oldest_; b < launched_; ++b)
            expose(b);
        for (std::size_t b = oldest_; b < launched_; ++b) {
            finish_messages(b);
            finish_memory(b);
        }
        // Owners go through the buckets in order, so who waits for the last sleeps once for all of them.
        if constexpr (peer_memory<C>) {
            for (std::size_t b = launched_; b-- > oldest_;)
                if (states_[b].memory == phase::publishing)
                    wait(b, "mean gradients", [&](auto limit) { work_.memory().wait_reduced(b, limit); });
            work_.memory().announce();
        }
        while (oldest_ < launched_)
            complete_oldest();
    }

    void finish_messages(std::size_t b)
    {
        if (states_[b].messages != phase::reducing)
            return;
        wait(b, "gradients", [&](auto limit) { states_[b].pending.wait(limit); });
        reduce_messages(b);
    }

    void finish_memory([[maybe_unused]] std::size_t b)
    {
        expose(b);
        if constexpr (peer_memory<C>)
            if (states_[b].memory == phase::reducing) {
                wait(b, "gradients", [&](auto limit) { work_.memory().wait_exposed(b, limit); });
                reduce_memory(b);
            }
    }

    void complete_oldest()
    {
        const std::size_t b = oldest_;
        auto& s = states_[b];
        finish_messages(b);
        finish_memory(b);
        if (s.messages == phase::publishing)
            wait(b, "mean gradients", [&](auto limit) { s.pending.wait(limit); });
        if constexpr (peer_memory<C>)
            if (s.memory == phase::publishing)
                wait(b, "mean gradients", [&](auto limit) { work_.memory().wait_reduced(b, limit); });
        wait(b, "all-reduce", [&](auto limit) { s.native.wait(limit); });
        if (s.open)
            close(b);
        ++oldest_;
    }

    void reduce_messages(std::size_t b)
    {
        work_.reduce(b, false);
        if (work_.values_to_trainers()) {
            states_[b].messages = phase::idle;
            return;
        }
        const std::size_t element = work_.wire_size_of(b);
        for (std::size_t i = 0; i < work_.peers().ranks.size(); ++i) {
            const auto& s = work_.buckets()[b].peers[i];
            add(b, i, element, s.receive_at, s.from_trainer, s.send_at, s.to_owner);
        }
        states_[b].messages = phase::publishing;
        states_[b].pending = post(b, 1, sent_.publish_bytes);
    }

    void reduce_memory(std::size_t b)
    {
        if constexpr (peer_memory<C>) {
            {
                const typename memory_exchange<C>::hold sources(work_.memory(), b);
                work_.reduce(b, true);
            }
            work_.memory().set_reduced(b);
            states_[b].memory = phase::publishing;
        }
    }

    /// Everything that concerns the bucket has happened.
    void close(std::size_t b)
    {
        work_.unpack(b);
        auto& s = states_[b];
        s.messages = s.memory = phase::idle;
        s.open = false;
    }

    C comm_;
    synchronizer_options options_;
    bucket_work<C> work_;
    std::vector<state> states_; ///< by bucket
    traffic sent_;
    std::size_t launched_ = 0, oldest_ = 0;
    // Kept between calls so that a step allocates nothing.
    std::vector<outgoing> outgoing_;
    std::vector<incoming> incoming_;
};

} // namespace sdp::detail
