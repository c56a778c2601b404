// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Runs buckets through their phases: pack, reduce, publish, unpack; and values to who needs them.
///
/// Knows the plan, the communicator and the host's tensors, but nothing of steps or of what the host may do when: that is
/// the synchronizer's. After construction it allocates nothing.

#include <sdp/comm/communicator.hpp>
#include <sdp/detail/buckets.hpp>
#include <sdp/detail/collectives.hpp>
#include <sdp/detail/kernels.hpp>
#include <sdp/synchronizer_options.hpp>

#include <cmath>
#include <string_view>
#include <utility>
#include <vector>

namespace sdp::detail {

template <communicator C> class exchange_engine {
public:
    exchange_engine(overlap_plan plan, std::vector<bucket> buckets, C comm, const synchronizer_options& options)
        : plan_(std::move(plan))
        , peers_(plan_)
        , buckets_(std::move(buckets))
        , states_(buckets_.size())
        , comm_(std::move(comm))
        , options_(options)
        , divisors_(plan_.classes.size())
        , scales_(plan_.classes.size())
        , cursors_(peers_.ranks.size())
    {
        for (const auto& c : plan_.classes)
            routes_.push_back(route_of(c));
        buffers_.resize(std::min(buckets_.size(), static_cast<std::size_t>(options.buckets_in_flight)));
        for (std::size_t b = 0; b < buckets_.size(); ++b) {
            lay_out(buckets_[b], plan_, peers_, values_to_trainers(), [&](std::uint32_t number) { return routes_[number]; });
            auto& buffer = buffers_[b % buffers_.size()];
            buffer.resize(std::max(buffer.size(), buckets_[b].bytes));
        }
        outgoing_.reserve(peers_.ranks.size());
        incoming_.reserve(peers_.ranks.size());
        std::size_t most = 0;
        for (const auto& c : plan_.classes)
            most = std::max(most, c.trainers.size());
        contributions_.first.reserve(most);
        contributions_.second.reserve(most);
    }

    [[nodiscard]] const overlap_plan& plan() const noexcept { return plan_; }
    [[nodiscard]] std::span<const bucket> buckets() const noexcept { return buckets_; }
    [[nodiscard]] std::size_t launched() const noexcept { return launched_; }
    [[nodiscard]] C& comm() noexcept { return comm_; }
    [[nodiscard]] const traffic& sent() const noexcept { return sent_; }
    /// Bytes of the buffers that messages are packed into.
    [[nodiscard]] std::size_t buffer_bytes() const noexcept
    {
        std::size_t out = 0;
        for (const auto& buffer : buffers_)
            out += buffer.size();
        return out;
    }

    std::vector<tensor_view> gradients; ///< by parameter; null data until the host has one
    std::vector<std::vector<tensor_view>> values; ///< by parameter and slab; null data until bound

    /// Makes ready for a step. `weights` are by rank, or empty for the plain mean, and must stay until the step is done.
    void begin_step(std::span<const double> weights)
    {
        launched_ = oldest_ = 0;
        weights_ = weights;
        for (std::size_t i = 0; i < divisors_.size(); ++i) {
            const auto& trainers = plan_.classes[i].trainers;
            const bool among_holders = options_.normalizer == normalizer::holders;
            scales_[i] = 1;
            if (weights.empty()) {
                divisors_[i] = among_holders ? static_cast<double>(trainers.size()) : static_cast<double>(plan_.world);
                continue;
            }
            double largest = 0;
            for (const int rank : trainers)
                largest = std::max(largest, weights[static_cast<std::size_t>(rank)]);
            // By a power of two, so that no bit of the result depends on it, into the range of every element type.
            int exponent = 0;
            std::frexp(largest, &exponent);
            scales_[i] = std::ldexp(1.0, -exponent);
            double sum = 0;
            if (among_holders)
                for (const int rank : trainers)
                    sum += weights[static_cast<std::size_t>(rank)] * scales_[i];
            else
                for (const double w : weights)
                    sum += w * scales_[i];
            divisors_[i] = largest > 0 ? sum : 0;
        }
    }

    /// Starts the next bucket. All ranks start them in the same order.
    void launch()
    {
        if constexpr (ordered_exchange<C>)
            if (launched_ > 0) // without tags, a publish must come at the same place everywhere
                finish_reduce(launched_ - 1);
        if (launched_ - oldest_ == buffers_.size())
            complete_oldest();
        const std::size_t b = launched_++;
        with_element_type(buckets_[b].type, [&]<class T>(T) { pack<T>(b); });
        for (std::size_t i = 0; i < peers_.ranks.size(); ++i) {
            const auto& s = buckets_[b].peers[i];
            add(b, i, s.send_at, s.to_owner + s.swapped, s.receive_at, s.from_trainer + s.swapped);
        }
        states_[b].at = phase::reducing;
        states_[b].pending = post(b, 0, sent_.reduce_bytes);
    }

    /// Pushes what is under way, without waiting.
    void progress()
    {
        for (std::size_t b = oldest_; b < launched_; ++b) {
            auto& s = states_[b];
            if constexpr (!ordered_exchange<C>)
                if (s.at == phase::reducing && s.pending.test())
                    reduce_and_publish(b);
            if (s.at == phase::publishing && s.pending.test())
                unpack(b);
        }
        while (oldest_ < launched_ && states_[oldest_].at == phase::idle)
            ++oldest_;
    }

    /// Waits until every started bucket is done.
    void drain()
    {
        for (std::size_t b = oldest_; b < launched_; ++b)
            finish_reduce(b);
        while (oldest_ < launched_)
            complete_oldest();
    }

    /// Sends the owners' values to those who store without training, and under owner update to the trainers too. A bucket at
    /// a time, so that one buffer serves.
    void publish_values()
    {
        for (std::size_t b = 0; b < buckets_.size(); ++b) {
            with_element_type(buckets_[b].type, [&]<class T>(T) { pack_values<T>(b); });
            for (std::size_t i = 0; i < peers_.ranks.size(); ++i) {
                const auto& s = buckets_[b].peers[i];
                add(b, i, s.values_out_at, s.values_out, s.values_in_at, s.values_in);
            }
            auto pending = post(b, 2, sent_.value_bytes);
            wait(pending, b, "fresh values");
            with_element_type(buckets_[b].type, [&]<class T>(T) { unpack_values<T>(b); });
        }
    }

    /// Sum of the squares of the gradients that this worker owns; the first parameter where it is not finite.
    [[nodiscard]] std::pair<double, std::size_t> owned_square_norm() const
    {
        double sum = 0;
        std::size_t culprit = gradients.size();
        for (std::size_t p = 0; p < gradients.size(); ++p)
            for (const auto& piece : plan_.of(p)) {
                if (plan_.owner_of(piece) != plan_.rank)
                    continue;
                const double part = with_element_type(
                    gradients[p].type, [&]<class T>(T) { return sum_of_squares(plan_, piece, local_tensor<T>(gradients[p])); });
                if (!std::isfinite(part) && culprit == gradients.size())
                    culprit = p;
                sum += part;
            }
        return {sum, culprit};
    }

    /// Counts bytes of control data, which the callers send themselves.
    void count_control(std::uint64_t bytes) noexcept { sent_.control_bytes += bytes; }

private:
    enum class phase : std::uint8_t { idle, reducing, publishing };
    struct state {
        phase at = phase::idle;
        pending_of<C> pending {};
    };
    struct cursor {
        std::size_t to_owner = 0, from_trainer = 0, swap_out = 0, swap_in = 0;
    };

    [[nodiscard]] bool values_to_trainers() const noexcept { return options_.update == update_mode::owner_update; }

    [[nodiscard]] route route_of(const holder_class& c) const noexcept
    {
        if (c.position < 0)
            return route::none;
        if (c.trainers.size() == 1)
            return route::local;
        return c.trainers.size() == 2 && options_.update == update_mode::average ? route::swap : route::owner;
    }

    [[nodiscard]] std::byte* at(std::size_t b, std::size_t offset) noexcept
    {
        return buffers_[b % buffers_.size()].data() + offset;
    }
    template <class T> [[nodiscard]] T* elements(std::size_t b, std::size_t offset) noexcept
    {
        return reinterpret_cast<T*>(at(b, offset)); // bytes from operator new, aligned to a cache line's multiple of T
    }

    void add(std::size_t b, std::size_t peer, std::size_t out_at, std::size_t out, std::size_t in_at, std::size_t in)
    {
        const std::size_t element = size_of(buckets_[b].type);
        if (out > 0)
            outgoing_.push_back({peers_.ranks[peer], at(b, out_at), out * element});
        if (in > 0)
            incoming_.push_back({peers_.ranks[peer], at(b, in_at), in * element});
    }

    [[nodiscard]] pending_of<C> post(std::size_t b, int which, std::uint64_t& bytes)
    {
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

    void wait(pending_of<C>& pending, std::size_t b, std::string_view what)
    {
        try {
            pending.wait(options_.timeout);
        } catch (const timeout_error& e) {
            fail<timeout_error>("bucket ", b, " of ", buckets_.size(), ", ", what, ": ", e.what());
        }
    }

    void finish_reduce(std::size_t b)
    {
        if (states_[b].at != phase::reducing)
            return;
        wait(states_[b].pending, b, "gradients");
        reduce_and_publish(b);
    }

    void complete_oldest()
    {
        finish_reduce(oldest_);
        if (states_[oldest_].at == phase::publishing) {
            wait(states_[oldest_].pending, oldest_, "mean gradients");
            unpack(oldest_);
        }
        ++oldest_;
    }

    void reduce_and_publish(std::size_t b)
    {
        with_element_type(buckets_[b].type, [&]<class T>(T) { reduce_bucket<T>(b); });
        if (values_to_trainers()) {
            states_[b].at = phase::idle;
            return;
        }
        for (std::size_t i = 0; i < peers_.ranks.size(); ++i) {
            const auto& s = buckets_[b].peers[i];
            add(b, i, s.receive_at, s.from_trainer, s.send_at, s.to_owner);
        }
        states_[b].at = phase::publishing;
        states_[b].pending = post(b, 1, sent_.publish_bytes);
    }

    void unpack(std::size_t b)
    {
        with_element_type(buckets_[b].type, [&]<class T>(T) {
            for_each_piece(b, [&](const overlap_piece& piece, std::size_t p, route way, std::uint32_t owner) {
                if (way != route::owner || owner == peer_table::self)
                    return;
                auto& done = cursors_[owner].to_owner;
                local_tensor<T>(gradients[p]).scatter(plan_, piece, elements<T>(b, buckets_[b].peers[owner].send_at) + done);
                done += plan_.size_of(piece);
            });
        });
        states_[b].at = phase::idle;
    }

    template <class Visit> void for_each_piece(std::size_t b, Visit visit)
    {
        std::fill(cursors_.begin(), cursors_.end(), cursor {});
        for (const auto p : buckets_[b].parameters)
            for (const auto& piece : plan_.of(p))
                visit(piece, p, routes_[piece.holder_class], peers_.classes[piece.holder_class].trainers[piece.owner]);
    }

    [[nodiscard]] std::uint32_t other_trainer(const overlap_piece& piece) const noexcept
    {
        return peers_.classes[piece.holder_class].trainers[plan_.class_of(piece).position == 0 ? 1 : 0];
    }

    template <class T> void pack(std::size_t b)
    {
        const auto& shares = buckets_[b].peers;
        for_each_piece(b, [&](const overlap_piece& piece, std::size_t p, route way, std::uint32_t owner) {
            T* to = nullptr;
            if (way == route::swap) {
                const auto peer = other_trainer(piece);
                to = elements<T>(b, shares[peer].send_at) + shares[peer].to_owner
                    + std::exchange(cursors_[peer].swap_out, cursors_[peer].swap_out + plan_.size_of(piece));
            } else if (way == route::owner && owner != peer_table::self) {
                to = elements<T>(b, shares[owner].send_at)
                    + std::exchange(cursors_[owner].to_owner, cursors_[owner].to_owner + plan_.size_of(piece));
            } else {
                return;
            }
            local_tensor<T>(gradients[p]).gather(plan_, piece, to);
        });
    }

    template <class T> [[nodiscard]] std::vector<contribution<T>>& contributions() noexcept
    {
        if constexpr (std::is_same_v<T, float>)
            return contributions_.first;
        else
            return contributions_.second;
    }

    template <class T> void reduce_bucket(std::size_t b)
    {
        const auto& shares = buckets_[b].peers;
        for_each_piece(b, [&](const overlap_piece& piece, std::size_t p, route way, std::uint32_t owner) {
            if (way == route::none || (way == route::owner && owner != peer_table::self))
                return;
            const auto& c = plan_.class_of(piece);
            const bool only_one = c.trainers.size() == 1;
            if (only_one && options_.normalizer == normalizer::holders && divisors_[piece.holder_class] > 0)
                return; // the mean of one is itself, also when weighted
            auto& from = contributions<T>();
            from.clear();
            const auto& trainers = peers_.classes[piece.holder_class].trainers;
            for (std::size_t t = 0; t < trainers.size(); ++t) {
                const T weight = weights_.empty()
                    ? T(1)
                    : static_cast<T>(weights_[static_cast<std::size_t>(c.trainers[t])] * scales_[piece.holder_class]);
                const auto peer = trainers[t];
                if (peer == peer_table::self) {
                    from.push_back({nullptr, weight});
                    continue;
                }
                auto& done = way == route::swap ? cursors_[peer].swap_in : cursors_[peer].from_trainer;
                const std::size_t section = way == route::swap ? shares[peer].from_trainer : 0;
                from.push_back({elements<T>(b, shares[peer].receive_at) + section + done, weight});
                done += plan_.size_of(piece);
            }
            reduce<T>(plan_, piece, local_tensor<T>(gradients[p]), from, !weights_.empty(),
                static_cast<T>(divisors_[piece.holder_class]), way == route::owner && !values_to_trainers());
        });
    }

    template <class T> void pack_values(std::size_t b)
    {
        for_each_piece(b, [&](const overlap_piece& piece, std::size_t p, route, std::uint32_t owner) {
            if (owner != peer_table::self)
                return;
            const local_tensor<T> own(values[p].empty() ? tensor_view {} : values[p][piece.slab]);
            const auto send = [&](std::uint32_t peer) {
                if (peer == peer_table::self)
                    return;
                auto& done = cursors_[peer].to_owner;
                own.gather(plan_, piece, elements<T>(b, buckets_[b].peers[peer].values_out_at) + done);
                done += plan_.size_of(piece);
            };
            const auto& m = peers_.classes[piece.holder_class];
            for (const auto peer : m.readers)
                send(peer);
            if (values_to_trainers())
                for (const auto peer : m.trainers)
                    send(peer);
        });
    }

    template <class T> void unpack_values(std::size_t b)
    {
        for_each_piece(b, [&](const overlap_piece& piece, std::size_t p, route, std::uint32_t owner) {
            if (owner == peer_table::self || (plan_.class_of(piece).position >= 0 && !values_to_trainers()))
                return;
            auto& done = cursors_[owner].from_trainer;
            local_tensor<T>(values[p][piece.slab])
                .scatter(plan_, piece, elements<T>(b, buckets_[b].peers[owner].values_in_at) + done);
            done += plan_.size_of(piece);
        });
    }

    overlap_plan plan_;
    peer_table peers_;
    std::vector<bucket> buckets_;
    std::vector<route> routes_; ///< by class
    std::vector<std::vector<std::byte>> buffers_;
    std::vector<state> states_; ///< by bucket
    C comm_;
    synchronizer_options options_;
    traffic sent_;
    std::span<const double> weights_;
    std::vector<double> divisors_; ///< by class; 0 where nobody counts
    std::vector<double> scales_; ///< by class: what the weights are multiplied by
    std::size_t launched_ = 0, oldest_ = 0;
    // Kept between calls so that a step allocates nothing.
    std::vector<cursor> cursors_;
    std::vector<outgoing> outgoing_;
    std::vector<incoming> incoming_;
    std::pair<std::vector<contribution<float>>, std::vector<contribution<double>>> contributions_;
};

} // namespace sdp::detail
