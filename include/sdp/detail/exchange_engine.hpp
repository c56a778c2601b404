// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Runs buckets through their phases: pack, reduce, publish, unpack; and values to who needs them.
///
/// Knows the plan, the communicator and the host's tensors, but nothing of steps or of what the host may do when: that is
/// the synchronizer's. After the first step it allocates nothing.
///
/// A bucket may go several ways at once: some classes in messages, some through memory, some through the transport's own
/// all-reduce. It is packed for all of them together and unpacked when all are done, so that a tensor is gone through once.

#include <sdp/comm/communicator.hpp>
#include <sdp/detail/collectives.hpp>
#include <sdp/detail/memory_exchange.hpp>
#include <sdp/detail/packing.hpp>

#include <cmath>
#include <string_view>
#include <tuple>
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
        : plan_(std::move(plan))
        , peers_(plan_)
        , comm_(std::move(comm))
        , options_(options)
        , routes_(choose_routes(plan_, comm_, options))
        , interleaved_(interleaved_parameters(plan_))
        , buckets_(laid_out(std::move(buckets)))
        , states_(buckets_.size())
        , memory_(comm_, plan_, peers_, buckets_, routes_, may_share_memory(plan_, comm_, options),
              {static_cast<std::size_t>(options.buckets_in_flight), in_tensors(), shared(gradient_bytes)})
        , divisors_(plan_.classes.size())
        , scales_(plan_.classes.size())
        , cursors_(peers_.ranks.size())
        , packer_(most_pieces(plan_))
        , places_(most_pieces(plan_))
    {
        buffers_.resize(std::min(buckets_.size(), static_cast<std::size_t>(options.buckets_in_flight)));
        for (std::size_t b = 0; b < buckets_.size(); ++b) {
            auto& buffer = buffers_[b % buffers_.size()];
            buffer.resize(std::max(buffer.size(), buckets_[b].bytes));
            limited_ = limited_ || buckets_[b].bytes > 0 || buckets_[b].exposed_bytes > 0;
        }
        outgoing_.reserve(peers_.ranks.size());
        incoming_.reserve(peers_.ranks.size());
        std::size_t most = 0;
        for (const auto& c : plan_.classes)
            most = std::max(most, c.trainers.size());
        std::apply([&](auto&... each) { (each.prepare(peers_.ranks.size(), most), ...); }, work_);
    }
    // Peers know where the plan is.
    exchange_engine(const exchange_engine&) = delete;
    exchange_engine& operator=(const exchange_engine&) = delete;

    [[nodiscard]] const overlap_plan& plan() const noexcept { return plan_; }
    [[nodiscard]] std::span<const bucket> buckets() const noexcept { return buckets_; }
    [[nodiscard]] std::size_t launched() const noexcept { return launched_; }
    /// Whether a started bucket is not done.
    [[nodiscard]] bool under_way() const noexcept { return oldest_ < launched_; }
    [[nodiscard]] C& comm() noexcept { return comm_; }
    [[nodiscard]] const traffic& sent() const noexcept { return sent_; }
    /// Bytes that gradients and values are packed into.
    [[nodiscard]] std::size_t buffer_bytes() const noexcept
    {
        std::size_t out = 0;
        for (const auto& buffer : buffers_)
            out += buffer.size();
        if constexpr (peer_memory<C>)
            out += memory_.bytes();
        return out;
    }
    /// The ways that gradients of this worker go.
    [[nodiscard]] std::vector<route_use> routes() const
    {
        std::vector<route_use> out;
        for (const auto& piece : plan_.pieces)
            if (const auto way = routes_[piece.holder_class]; way > route::local) {
                auto at = std::ranges::find(out, name_of(way), &route_use::route);
                if (at == out.end())
                    at = out.insert(out.end(), {name_of(way), 0, 0});
                at->elements += plan_.size_of(piece);
            }
        for (auto& use : out)
            use.holder_sets = static_cast<std::size_t>(
                std::ranges::count_if(routes_, [&](route way) { return way > route::local && name_of(way) == use.route; }));
        return out;
    }

    /// Where peers reach the gradient of a parameter; null if there is no such memory.
    [[nodiscard]] void* gradient_memory([[maybe_unused]] std::size_t parameter) const noexcept
    {
        if constexpr (peer_memory<C>)
            return memory_.gradient(parameter);
        else
            return nullptr;
    }
    /// Whether owners must find the gradient of a parameter there.
    [[nodiscard]] bool must_be_shared([[maybe_unused]] std::size_t parameter) const noexcept
    {
        if constexpr (peer_memory<C>)
            return !C::one_address_space && gradient_memory(parameter) != nullptr && !interleaved_[parameter];
        else
            return false;
    }

    std::vector<tensor_view> gradients; ///< by parameter; null data until the host has one
    std::vector<std::vector<tensor_view>> values; ///< by parameter and slab; null data until bound

    /// Makes ready for a step. `weights` are by rank, or empty for the plain mean, and must stay until the step is done.
    void begin_step(std::span<const double> weights)
    {
        launched_ = oldest_ = 0;
        weights_ = weights;
        if constexpr (peer_memory<C>)
            memory_.begin_step();
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
                if (s.memory == phase::reducing && memory_.all_exposed(b))
                    reduce_memory(b);
                if (s.memory == phase::publishing && memory_.all_reduced(b))
                    s.memory = phase::idle;
            }
            if (s.messages == phase::idle && s.memory == phase::idle && s.native.test())
                close(b);
        }
        while (oldest_ < launched_ && !states_[oldest_].open)
            ++oldest_;
        if constexpr (peer_memory<C>)
            memory_.announce();
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
        for (std::size_t b = 0; b < buckets_.size(); ++b) {
            with_element_type(buckets_[b].type, [&]<class T>(T) { pack_values<T>(b); });
            const std::size_t element = size_of(buckets_[b].type);
            for (std::size_t i = 0; i < peers_.ranks.size(); ++i) {
                const auto& s = buckets_[b].peers[i];
                add(b, i, element, s.values_out_at, s.values_out, s.values_in_at, s.values_in);
            }
            auto pending = post(b, 2, sent_.value_bytes);
            wait(b, "fresh values", [&](auto limit) { pending.wait(limit); });
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
    enum class phase : std::uint8_t { idle, packed, reducing, publishing };
    struct state {
        bool open = false; ///< launched and not unpacked
        phase messages = phase::idle, memory = phase::idle;
        pending_of<C> pending {};
        typename native_pending<C>::type native {};
    };
    struct cursor {
        std::size_t to_owner = 0, from_trainer = 0, swap_out = 0, swap_in = 0, exposed = 0, read = 0;
    };
    /// What a sum needs, by element types; kept so that a step allocates nothing.
    template <class T, class W> struct workspace {
        std::vector<side<T, W>> sides;
        std::vector<memory_source<T, W>> sources; ///< by peer
        std::vector<W*> sections; ///< by peer: its next packed elements
        reduction<T, W> reduce;

        void prepare(std::size_t peers, std::size_t trainers)
        {
            sides.reserve(trainers);
            sources.resize(peers);
            sections.resize(peers);
        }
    };

    [[nodiscard]] static std::vector<bool> interleaved_parameters(const overlap_plan& plan)
    {
        std::vector<bool> out;
        for (std::size_t p = 0; p + 1 < plan.first_piece.size(); ++p)
            out.push_back(is_interleaved(plan, p));
        return out;
    }
    [[nodiscard]] static std::size_t most_pieces(const overlap_plan& plan)
    {
        std::size_t out = 0;
        for (std::size_t p = 0; p + 1 < plan.first_piece.size(); ++p)
            out = std::max(out, plan.of(p).size());
        return out;
    }
    [[nodiscard]] std::vector<bucket> laid_out(std::vector<bucket> buckets) const
    {
        for (auto& b : buckets)
            lay_out(
                b, plan_, peers_, values_to_trainers(), wire_size(b.type, options_.wire),
                [&](std::uint32_t number) { return routes_[number]; }, [&](std::size_t p) { return interleaved_[p]; },
                [&](std::size_t p) { return !in_tensors() || interleaved_[p]; });
        return buckets;
    }

    [[nodiscard]] bool values_to_trainers() const noexcept { return options_.update == update_mode::owner_update; }

    /// Whether owners work in the trainers' tensors where runs are long.
    [[nodiscard]] bool in_tensors() const noexcept
    {
        if constexpr (peer_memory<C>)
            return C::one_address_space || options_.shared_gradients;
        else
            return false;
    }
    [[nodiscard]] std::span<const std::size_t> shared(std::span<const std::size_t> gradient_bytes) const noexcept
    {
        return options_.shared_gradients ? gradient_bytes : std::span<const std::size_t> {};
    }

    [[nodiscard]] static std::string_view name_of(route way) noexcept
    {
        if constexpr (peer_memory<C>)
            if (way == route::memory)
                return C::memory_route;
        return way == route::swap ? "swap" : way == route::native ? "native" : "two-sided";
    }

    [[nodiscard]] std::byte* at(std::size_t b, std::size_t offset) noexcept
    {
        return buffers_[b % buffers_.size()].data() + offset;
    }
    template <class T> [[nodiscard]] T* elements(std::size_t b, std::size_t offset) noexcept
    {
        return reinterpret_cast<T*>(at(b, offset)); // bytes from operator new, aligned to a cache line's multiple of T
    }

    void add(std::size_t b, std::size_t peer, std::size_t element, std::size_t out_at, std::size_t out, std::size_t in_at,
        std::size_t in)
    {
        if (out > 0)
            outgoing_.push_back({peers_.ranks[peer], at(b, out_at), out * element});
        if (in > 0)
            incoming_.push_back({peers_.ranks[peer], at(b, in_at), in * element});
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
        const std::size_t back = values_to_trainers() ? 0 : s.read - s.paired;
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
            fail<timeout_error>("bucket ", b, " of ", buckets_.size(), ", ", what, ": ", e.what());
        }
    }

    void launch_next()
    {
        if constexpr (ordered_exchange<C>)
            if (launched_ > 0) // without tags, a publish must come at the same place everywhere
                finish_messages(launched_ - 1);
        if (limited_ && launched_ - oldest_ == buffers_.size())
            complete_oldest();
        const std::size_t b = launched_++;
        with_types(buckets_[b].type, options_.wire, [&]<class T, class W>(T, W) { pack<T, W>(b); });
        auto& s = states_[b];
        if constexpr (peer_memory<C>)
            if (memory_.concerns(b)) {
                s.memory = phase::packed;
                if constexpr (!C::one_address_space)
                    expose(b);
                for (const auto& share : buckets_[b].peers)
                    count_memory(share, wire_size(buckets_[b].type, options_.wire));
            }
        if constexpr (native_all_reduce<C>)
            if (buckets_[b].native > 0) {
                s.native = comm_.all_reduce(at(b, buckets_[b].native_at), buckets_[b].native, buckets_[b].type);
                sent_.reduce_bytes += 2 * buckets_[b].native * size_of(buckets_[b].type)
                    * static_cast<std::size_t>(plan_.world - 1) / static_cast<std::size_t>(plan_.world);
            }
        const std::size_t element = wire_size(buckets_[b].type, options_.wire);
        for (std::size_t i = 0; i < peers_.ranks.size(); ++i) {
            const auto& share = buckets_[b].peers[i];
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
                memory_.expose(b);
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
                memory_.retract();
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
                    wait(b, "mean gradients", [&](auto limit) { memory_.wait_reduced(b, limit); });
            memory_.announce();
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
                wait(b, "gradients", [&](auto limit) { memory_.wait_exposed(b, limit); });
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
                wait(b, "mean gradients", [&](auto limit) { memory_.wait_reduced(b, limit); });
        wait(b, "all-reduce", [&](auto limit) { s.native.wait(limit); });
        if (s.open)
            close(b);
        ++oldest_;
    }

    void reduce_messages(std::size_t b)
    {
        with_types(buckets_[b].type, options_.wire, [&]<class T, class W>(T, W) { reduce_bucket<T, W>(b, false); });
        if (values_to_trainers()) {
            states_[b].messages = phase::idle;
            return;
        }
        const std::size_t element = wire_size(buckets_[b].type, options_.wire);
        for (std::size_t i = 0; i < peers_.ranks.size(); ++i) {
            const auto& s = buckets_[b].peers[i];
            add(b, i, element, s.receive_at, s.from_trainer, s.send_at, s.to_owner);
        }
        states_[b].messages = phase::publishing;
        states_[b].pending = post(b, 1, sent_.publish_bytes);
    }

    void reduce_memory(std::size_t b)
    {
        if constexpr (peer_memory<C>) {
            {
                const typename memory_exchange<C>::hold sources(memory_, b);
                with_types(buckets_[b].type, options_.wire, [&]<class T, class W>(T, W) { reduce_bucket<T, W>(b, true); });
            }
            memory_.set_reduced(b);
            states_[b].memory = phase::publishing;
        }
    }

    /// Everything that concerns the bucket has happened.
    void close(std::size_t b)
    {
        with_types(buckets_[b].type, options_.wire, [&]<class T, class W>(T, W) { unpack<T, W>(b); });
        auto& s = states_[b];
        s.messages = s.memory = phase::idle;
        s.open = false;
    }

    [[nodiscard]] std::uint32_t other_trainer(const overlap_piece& piece) const noexcept
    {
        return peers_.classes[piece.holder_class].trainers[plan_.class_of(piece).position == 0 ? 1 : 0];
    }

    /// Fills `places_` with where each piece of a parameter is packed, or null, going on from `cursors_`.
    template <class W> void find_places(std::size_t b, std::size_t p, std::size_t& kept, std::size_t& native)
    {
        const auto& bucket = buckets_[b];
        const bool interleaved = interleaved_[p];
        std::size_t i = 0;
        for (const auto& piece : plan_.of(p)) {
            const auto way = routes_[piece.holder_class];
            const auto owner = peers_.classes[piece.holder_class].trainers[piece.owner];
            const auto size = static_cast<std::size_t>(plan_.size_of(piece));
            W* place = nullptr;
            if (way == route::swap) {
                const auto peer = other_trainer(piece);
                place = elements<W>(b, bucket.peers[peer].send_at) + bucket.peers[peer].to_owner
                    + std::exchange(cursors_[peer].swap_out, cursors_[peer].swap_out + size);
            } else if (way == route::native) {
                place = elements<W>(b, bucket.native_at) + std::exchange(native, native + size);
            } else if (way == route::two_sided || way == route::memory) {
                if (owner == peer_table::self) {
                    if (interleaved)
                        place = elements<W>(b, bucket.kept_at) + std::exchange(kept, kept + size);
                } else if (way == route::two_sided) {
                    place = elements<W>(b, bucket.peers[owner].send_at)
                        + std::exchange(cursors_[owner].to_owner, cursors_[owner].to_owner + size);
                } else if (!in_tensors() || interleaved) {
                    if constexpr (peer_memory<C>)
                        place = reinterpret_cast<W*>(memory_.section(b, bucket.peers[owner]))
                            + std::exchange(cursors_[owner].exposed, cursors_[owner].exposed + size);
                }
            }
            places_[i++] = place;
        }
    }

    template <class T, class W> void pack(std::size_t b)
    {
        std::fill(cursors_.begin(), cursors_.end(), cursor {});
        std::size_t kept = 0, native = 0;
        for (const auto p : buckets_[b].parameters) {
            if (gradients[p].data == nullptr)
                continue; // nothing of it is trained here
            find_places<W>(b, p, kept, native);
            packer_.gather<T, W>(plan_, p, gradients[p], places_);
            if constexpr (peer_memory<C>)
                memory_.place(p, in_tensors() && !interleaved_[p] ? gradients[p] : tensor_view {});
            if (native > 0 && !weights_.empty())
                weigh<T>(p);
        }
    }

    /// The transport knows no weights, so they are put on before.
    template <class T> void weigh(std::size_t p)
    {
        std::size_t i = 0;
        for (const auto& piece : plan_.of(p)) {
            auto* const place = static_cast<T*>(places_[i++]);
            if (routes_[piece.holder_class] != route::native)
                continue;
            const T weight = weight_of<T>(plan_.rank, piece.holder_class);
            for_each_index(static_cast<std::size_t>(plan_.size_of(piece)),
                [=](std::size_t e) { place[e] = weight == 0 ? T(0) : place[e] * weight; });
        }
    }

    template <class T, class W> void unpack(std::size_t b)
    {
        std::fill(cursors_.begin(), cursors_.end(), cursor {});
        std::size_t kept = 0, native = 0;
        for (const auto p : buckets_[b].parameters) {
            if (gradients[p].data == nullptr)
                continue;
            find_places<W>(b, p, kept, native);
            std::size_t i = 0;
            for (const auto& piece : plan_.of(p)) {
                auto& place = places_[i++];
                const auto way = routes_[piece.holder_class];
                const bool mine = plan_.owner_of(piece) == plan_.rank;
                if (way == route::native) {
                    const auto divisor = static_cast<T>(divisors_[piece.holder_class]);
                    auto* const sum = static_cast<T*>(place);
                    for_each_index(static_cast<std::size_t>(plan_.size_of(piece)),
                        [=](std::size_t e) { sum[e] = divisor == 0 ? T(0) : sum[e] / divisor; });
                } else if ((way == route::swap && !interleaved_[p]) || (!mine && way != route::swap && values_to_trainers())) {
                    place = nullptr; // in the tensor already, or nobody sends it
                }
            }
            packer_.scatter<T, W>(plan_, p, gradients[p], places_);
        }
    }

    template <class T> [[nodiscard]] T weight_of(int rank, std::uint32_t holder_class) const
    {
        return weights_.empty() ? T(1) : static_cast<T>(weights_[static_cast<std::size_t>(rank)] * scales_[holder_class]);
    }

    /// Sums what this worker sums of a bucket: of the classes that go through memory, or of all others.
    template <class T, class W> void reduce_bucket(std::size_t b, bool through_memory)
    {
        std::fill(cursors_.begin(), cursors_.end(), cursor {});
        const auto& shares = buckets_[b].peers;
        auto& w = std::get<workspace<T, W>>(work_);
        std::size_t kept = 0, native = 0;
        if constexpr (peer_memory<C>)
            if (through_memory)
                for (const auto i : memory_.sources(b))
                    w.sections[i] = reinterpret_cast<W*>(memory_.packed_at(i, b));
        for (const auto p : buckets_[b].parameters) {
            if (gradients[p].data == nullptr)
                continue;
            const local_tensor<T> own(gradients[p]);
            find_places<W>(b, p, kept, native);
            if constexpr (peer_memory<C>)
                if (through_memory)
                    for (const auto i : memory_.sources(b))
                        memory_.template locate<T, W>(i, p, w.sections[i], w.sources[i]);
            std::size_t number = 0;
            for (const auto& piece : plan_.of(p)) {
                auto* const place = static_cast<W*>(places_[number++]);
                const auto way = routes_[piece.holder_class];
                const auto& c = plan_.class_of(piece);
                const auto& trainers = peers_.classes[piece.holder_class].trainers;
                const bool mine = trainers[piece.owner] == peer_table::self;
                if (way == route::none || way == route::native || (way == route::memory) != through_memory
                    || (!mine && way != route::swap))
                    continue;
                if (way == route::local && options_.normalizer == normalizer::holders && divisors_[piece.holder_class] > 0)
                    continue; // the mean of one is itself, also when weighted
                const auto size = plan_.size_of(piece);
                piece_stream in(plan_arrays(plan_), piece), out = in;
                w.sides.clear();
                for (std::size_t t = 0; t < trainers.size(); ++t) {
                    const auto peer = trainers[t];
                    auto& s = w.sides.emplace_back();
                    s.weight = weight_of<T>(c.trainers[t], piece.holder_class);
                    if (peer == peer_table::self) {
                        // A swap is packed to be sent; where it is not unpacked, the tensor is as good to read and gets the mean.
                        s.packed = way == route::swap && !interleaved_[p] ? nullptr : place;
                        s.tensor = &own;
                        s.in = &in;
                        s.out = &out;
                        continue;
                    }
                    s.written = way != route::swap && !values_to_trainers();
                    if (way == route::swap) {
                        s.packed = elements<W>(b, shares[peer].receive_at) + shares[peer].from_trainer
                            + std::exchange(cursors_[peer].swap_in, cursors_[peer].swap_in + size);
                    } else if (way == route::two_sided) {
                        s.packed = elements<W>(b, shares[peer].receive_at)
                            + std::exchange(cursors_[peer].from_trainer, cursors_[peer].from_trainer + size);
                    } else {
                        auto& source = w.sources[peer];
                        s.packed = source.packed;
                        s.tensor = &source.tensor;
                        s.in = &source.in;
                        s.out = &source.out;
                        if (source.packed != nullptr)
                            w.sections[peer] = source.packed += size;
                    }
                }
                w.reduce(w.sides, size, !weights_.empty(), static_cast<T>(divisors_[piece.holder_class]));
            }
        }
    }

    template <class T> void pack_values(std::size_t b)
    {
        std::fill(cursors_.begin(), cursors_.end(), cursor {});
        for (const auto p : buckets_[b].parameters)
            for (const auto& piece : plan_.of(p)) {
                const auto& m = peers_.classes[piece.holder_class];
                if (m.trainers[piece.owner] != peer_table::self || values[p].empty())
                    continue;
                const local_tensor<T> own(values[p][piece.slab]);
                const auto send = [&](std::uint32_t peer) {
                    if (peer == peer_table::self)
                        return;
                    auto& done = cursors_[peer].to_owner;
                    own.gather(plan_, piece, elements<T>(b, buckets_[b].peers[peer].values_out_at) + done);
                    done += plan_.size_of(piece);
                };
                for (const auto peer : m.readers)
                    send(peer);
                if (values_to_trainers())
                    for (const auto peer : m.trainers)
                        send(peer);
            }
    }

    template <class T> void unpack_values(std::size_t b)
    {
        std::fill(cursors_.begin(), cursors_.end(), cursor {});
        for (const auto p : buckets_[b].parameters)
            for (const auto& piece : plan_.of(p)) {
                const auto owner = peers_.classes[piece.holder_class].trainers[piece.owner];
                if (owner == peer_table::self || (plan_.class_of(piece).position >= 0 && !values_to_trainers()))
                    continue;
                auto& done = cursors_[owner].from_trainer;
                local_tensor<T>(values[p][piece.slab])
                    .scatter(plan_, piece, elements<T>(b, buckets_[b].peers[owner].values_in_at) + done);
                done += plan_.size_of(piece);
            }
    }

    overlap_plan plan_;
    peer_table peers_;
    C comm_;
    synchronizer_options options_;
    std::vector<route> routes_; ///< by class
    std::vector<bool> interleaved_; ///< by parameter
    std::vector<bucket> buckets_;
    std::vector<std::vector<std::byte>> buffers_;
    std::vector<state> states_; ///< by bucket
    memory_exchange<C> memory_;
    traffic sent_;
    std::span<const double> weights_;
    std::vector<double> divisors_; ///< by class; 0 where nobody counts
    std::vector<double> scales_; ///< by class: what the weights are multiplied by
    std::size_t launched_ = 0, oldest_ = 0;
    bool limited_ = false; ///< buckets share buffers
    // Kept between calls so that a step allocates nothing.
    std::vector<cursor> cursors_;
    packer packer_;
    std::vector<void*> places_; ///< by piece of the parameter at hand
    std::vector<outgoing> outgoing_;
    std::vector<incoming> incoming_;
    std::tuple<workspace<float, float>, workspace<float, bf16_bits>, workspace<float, f16_bits>, workspace<double, double>> work_;
};

} // namespace sdp::detail
