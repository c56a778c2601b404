// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief What is done to the elements of a bucket: packed, summed, unpacked; by whichever ways its classes go.
///
/// Knows the plan, the routes, the host's tensors and the buffers, but nothing of messages or of when what is done: that is the
/// engine's. After the first step it allocates nothing.

#include <sdp/comm/communicator.hpp>
#include <sdp/detail/memory_exchange.hpp>
#include <sdp/detail/packing.hpp>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace sdp::detail {

template <communicator C> class bucket_work {
public:
    /// Collective where workers reach each other's memory. @param gradient_bytes by parameter; with `shared_gradients`, what
    /// there has to be room for
    bucket_work(overlap_plan plan, std::vector<bucket> buckets, C& comm, const synchronizer_options& options,
        std::span<const std::size_t> gradient_bytes)
        : plan_(std::move(plan))
        , peers_(plan_)
        , options_(options)
        , routes_(choose_routes(plan_, comm, options))
        , interleaved_(interleaved_parameters(plan_))
        , buckets_(laid_out(std::move(buckets)))
        , memory_(comm, plan_, peers_, buckets_, routes_, may_share_memory(plan_, comm, options),
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
        std::size_t most = 0;
        for (const auto& c : plan_.classes)
            most = std::max(most, c.trainers.size());
        std::apply([&](auto&... each) { (each.prepare(peers_.ranks.size(), most), ...); }, spaces_);
    }
    // Peers know where the plan is.
    bucket_work(const bucket_work&) = delete;
    bucket_work& operator=(const bucket_work&) = delete;

    [[nodiscard]] const overlap_plan& plan() const noexcept { return plan_; }
    [[nodiscard]] const peer_table& peers() const noexcept { return peers_; }
    [[nodiscard]] const std::vector<bucket>& buckets() const noexcept { return buckets_; }
    [[nodiscard]] memory_exchange<C>& memory() noexcept { return memory_; }
    /// Buckets that may be under way at once.
    [[nodiscard]] std::size_t most_under_way() const noexcept { return limited_ ? buffers_.size() : buckets_.size() + 1; }
    /// Bytes of a gradient's element of a bucket while it travels.
    [[nodiscard]] std::size_t wire_size_of(std::size_t b) const noexcept { return wire_size(buckets_[b].type, options_.wire); }
    /// Whether owners send values to the trainers, and so no means.
    [[nodiscard]] bool values_to_trainers() const noexcept { return options_.update == update_mode::owner_update; }
    /// A place in the buffer of a bucket.
    [[nodiscard]] std::byte* at(std::size_t b, std::size_t offset) noexcept
    {
        return buffers_[b % buffers_.size()].data() + offset;
    }

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

    /// Copies the gradients of a bucket to where they travel from.
    void pack(std::size_t b)
    {
        with_types(buckets_[b].type, options_.wire, [&]<class T, class W>(T, W) { pack<T, W>(b); });
    }
    /// Sums what this worker sums of a bucket: of the classes that go through memory, or of all others.
    void reduce(std::size_t b, bool through_memory)
    {
        with_types(buckets_[b].type, options_.wire, [&]<class T, class W>(T, W) { reduce<T, W>(b, through_memory); });
    }
    /// Copies the means that have come back to the gradients.
    void unpack(std::size_t b)
    {
        with_types(buckets_[b].type, options_.wire, [&]<class T, class W>(T, W) { unpack<T, W>(b); });
    }
    void pack_values(std::size_t b)
    {
        with_element_type(buckets_[b].type, [&]<class T>(T) { pack_values<T>(b); });
    }
    void unpack_values(std::size_t b)
    {
        with_element_type(buckets_[b].type, [&]<class T>(T) { unpack_values<T>(b); });
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

private:
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

    template <class T> [[nodiscard]] T* elements(std::size_t b, std::size_t offset) noexcept
    {
        return reinterpret_cast<T*>(at(b, offset)); // bytes from operator new, aligned to a cache line's multiple of T
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

    template <class T, class W> void reduce(std::size_t b, bool through_memory)
    {
        std::fill(cursors_.begin(), cursors_.end(), cursor {});
        const auto& shares = buckets_[b].peers;
        auto& w = std::get<workspace<T, W>>(spaces_);
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
    synchronizer_options options_;
    std::vector<route> routes_; ///< by class
    std::vector<bool> interleaved_; ///< by parameter
    std::vector<bucket> buckets_;
    std::vector<std::vector<std::byte>> buffers_;
    memory_exchange<C> memory_;
    std::span<const double> weights_;
    std::vector<double> divisors_; ///< by class; 0 where nobody counts
    std::vector<double> scales_; ///< by class: what the weights are multiplied by
    bool limited_ = false; ///< buckets share buffers
    // Kept between calls so that a step allocates nothing.
    std::vector<cursor> cursors_;
    packer packer_;
    std::vector<void*> places_; ///< by piece of the parameter at hand
    std::tuple<workspace<float, float>, workspace<float, bf16_bits>, workspace<float, f16_bits>, workspace<double, double>>
        spaces_;
};

} // namespace sdp::detail
