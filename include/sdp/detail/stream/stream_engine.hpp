// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Engine for communicators on a stream: enqueues all phases of a bucket on the stream at its launch.
///
/// Packing, messages, sums, messages back and unpacking follow each other on one stream, so buffers are reused in that order and
/// no thread waits for the stream: `drain` makes the host's own stream wait for this one. If tiles reach the tensors of other
/// workers, owners sum there (`tensor_route`). After the first step the engine allocates nothing.

#include <sdp/comm/stream.hpp>
#include <sdp/detail/elements/element_dispatch.hpp>
#include <sdp/detail/exchange/bucket_buffers.hpp>
#include <sdp/detail/exchange/message_round.hpp>
#include <sdp/detail/exchange/owned_shard.hpp>
#include <sdp/detail/exchange/step_weights.hpp>
#include <sdp/detail/stream/tensor_route.hpp>
#include <sdp/detail/stream/tile_program.hpp>

#include <cmath>
#include <span>
#include <utility>
#include <vector>

namespace sdp::detail {

template <stream_exchange C> class stream_engine {
public:
    static constexpr memory_space space = C::space; ///< memory of the tensors
    static constexpr bool contiguous_only = true;
    static constexpr bool own_all_reduce = stream_all_reduce<C>; ///< of the transport
    static constexpr std::size_t most_parameters = tiles::most_tensors / 2; ///< in a bucket: values may be of two tensors each
    static void check_type(element_type) noexcept { } ///< all are exchanged
    static_assert(stream_peer_memory<C> || !peer_memory<C>, "on a stream, memory that peers reach has to hold tensors too");

    /// Collective where tiles reach the tensors of other workers.
    /// @throws sdp::input_error for an option that has no meaning on a stream
    stream_engine(overlap_plan plan, std::vector<bucket> buckets, C comm, const bound_tensors& tensors,
        const synchronizer_options& options, std::span<const std::size_t>)
        : comm_(std::move(comm))
        , arrays_(comm_)
        , buffers_(std::move(plan), std::move(buckets), choose_routes(plan, comm_, checked(options), own_all_reduce), tensors,
              options, {.in_tensors = in_tensors<C>(options), .pack_own = false})
        , in_tensors_(comm_, buffers_, sent_, options)
        , program_(buffers_)
        , weights_(buffers_.plan(), options.normalizer)
        , round_(comm_, buffers_.peers(), sent_)
        , scales_(buffers_.plan().classes.size())
        , squares_(program_.square_results())
    {
        buffers_.allocate([&](std::size_t bytes) { return arrays_.allocate(bytes); });
        job_.tiles = arrays_.upload(program_.tiles());
        job_.shapes = arrays_.upload(program_.shapes());
        job_.runs = arrays_.upload(program_.runs());
        job_.groups = arrays_.upload(program_.groups());
        job_.sides = arrays_.upload(program_.sides());
        job_.scales = scales_there_ = arrays_.upload(scales_);
        job_.rank = buffers_.plan().rank;
        squares_there_ = reinterpret_cast<double*>(arrays_.allocate(squares_.size() * sizeof(double)));
        weights_there_
            = reinterpret_cast<double*>(arrays_.allocate(static_cast<std::size_t>(buffers_.plan().world) * sizeof(double)));
    }

    stream_engine(const stream_engine&) = delete;
    stream_engine& operator=(const stream_engine&) = delete;

    [[nodiscard]] const overlap_plan& plan() const noexcept { return buffers_.plan(); }
    [[nodiscard]] std::span<const bucket> buckets() const noexcept { return buffers_.buckets(); }
    [[nodiscard]] C& comm() noexcept { return comm_; }
    [[nodiscard]] const traffic& sent() const noexcept { return sent_; }
    [[nodiscard]] std::size_t launched() const noexcept { return launched_; }
    /// Nothing is left to be pushed.
    [[nodiscard]] static bool under_way() noexcept { return false; }
    [[nodiscard]] std::vector<route_use> routes() const
    {
        return list_routes(buffers_.plan(), buffers_.routes(), in_tensors_.name);
    }
    [[nodiscard]] std::size_t buffer_bytes() const noexcept { return buffers_.buffer_bytes(); }
    [[nodiscard]] static std::byte* gradient_memory(std::size_t) noexcept { return nullptr; }
    [[nodiscard]] static bool must_be_shared(std::size_t) noexcept { return false; }

    void begin_step(std::span<const double> weights)
    {
        launched_ = 0;
        on_stream_ = false;
        in_tensors_.begin_step();
        weights_.begin(weights);
        if (fresh_ || weighted_ || weights_.weighted()) {
            for (std::uint32_t i = 0; i < scales_.size(); ++i)
                scales_[i] = {weights_.divisor(i), weights_.scale(i)};
            arrays_.write(scales_there_, std::span<const tiles::class_scale>(scales_));
            if (weights_.weighted())
                arrays_.write(weights_there_, weights);
        }
        fresh_ = false;
        weighted_ = weights_.weighted();
        job_.weights = weighted_ ? weights_there_ : nullptr;
        own_weight_ = weighted_ ? weights[static_cast<std::size_t>(buffers_.plan().rank)] : 1;
    }

    /// Puts the next bucket on the stream. All ranks do it in the same order.
    void launch()
    {
        const std::size_t b = launched_++;
        const auto& bucket = buffers_.buckets()[b];
        const auto& tiles = program_.of(b);
        comm_.throw_if_failed();
        in_tensors_.launch(b);
        if (!tiles.has_other_work())
            return;
        comm_.executor().join_host();
        on_stream_ = true;
        aim_at_gradients(b);
        const auto type = bucket.type, wire = wire_type(type);
        run(tile_phase::pack, tiles.pack, type, wire);
        round_.add_gradients(buffers_, b);
        round_.start_on_stream(round_kind::gradients);
        if constexpr (stream_all_reduce<C>)
            if (bucket.native > 0) {
                run(tile_phase::pack_weighted, tiles.native, type, type);
                comm_.all_reduce_on_stream(buffers_.at(b, bucket.native_at), bucket.native, type);
                run(tile_phase::unpack_divided, tiles.native, type, type);
                buffers_.count_native(b, sent_);
            }
        run(tile_phase::reduce, tiles.reduce, type, wire);
        if (weighted_ && own_weight_ == 0)
            run(tile_phase::reduce, tiles.alone, type, wire); // clears them
        if (buffers_.values_to_trainers())
            return;
        round_.add_means(buffers_, b);
        round_.start_on_stream(round_kind::means);
        run(tile_phase::unpack, tiles.unpack, type, wire);
    }

    void progress() { comm_.throw_if_failed(); }

    /// Work that the host enqueues on its own stream after this call reads the means.
    void drain()
    {
        comm_.throw_if_failed();
        try {
            in_tensors_.finish(job_, [this](element_type type) { return wire_type(type); });
        } catch (...) {
            in_tensors_.retract();
            comm_.executor().release_to_host();
            throw;
        }
        if (on_stream_ || in_tensors_.concerned())
            comm_.executor().release_to_host();
    }

    /// Sends the owners' values to the workers that store without training, and under owner update to the trainers too.
    void publish_values()
    {
        comm_.throw_if_failed();
        comm_.executor().join_host();
        for (std::size_t b = 0; b < buffers_.buckets().size(); ++b) {
            const auto& bucket = buffers_.buckets()[b];
            const auto& tiles = program_.of(b);
            aim_at_values(b);
            run(tile_phase::pack, tiles.pack_values, bucket.type, bucket.type);
            round_.add_values(buffers_, b);
            round_.start_on_stream(round_kind::values);
            run(tile_phase::unpack, tiles.unpack_values, bucket.type, bucket.type);
        }
        comm_.executor().release_to_host();
    }

    /// Of the gradients that this worker owns; the first parameter where it is not finite, or as many as there are. Waits for the
    /// stream.
    [[nodiscard]] std::pair<double, std::size_t> owned_square_norm()
    {
        comm_.throw_if_failed();
        auto& executor = comm_.executor();
        executor.join_host();
        std::size_t at = 0;
        for (std::size_t b = 0; b < buffers_.buckets().size(); ++b) {
            aim_at_gradients(b);
            job_.results = squares_there_ + at;
            run(tile_phase::squares, program_.of(b).owned, buffers_.buckets()[b].type, buffers_.buckets()[b].type);
            at += program_.of(b).owned.count;
        }
        executor.read(squares_.data(), reinterpret_cast<const std::byte*>(squares_there_), squares_.size() * sizeof(double));
        double sum = 0;
        std::size_t nonfinite_parameter = buffers_.tensors().gradients().size();
        for (const auto& part : program_.squares())
            for (std::size_t i = 0; i < part.count; ++i) {
                const double one = squares_[part.first + i];
                if (!std::isfinite(one))
                    nonfinite_parameter = (std::min)(nonfinite_parameter, part.parameter);
                sum += one;
            }
        return {sum, nonfinite_parameter};
    }

    /// Copies between the flat shard, of which `check_shard` has been made, and the gradients or values that are owned.
    void copy_owned(const tensor_view& shard, shard_copy direction, owned_kind kind)
    {
        comm_.throw_if_failed();
        comm_.executor().join_host();
        for (std::size_t b = 0; b < buffers_.buckets().size(); ++b) {
            const auto type = buffers_.buckets()[b].type;
            if (kind == owned_kind::gradients)
                aim_at_gradients(b);
            else
                aim_at_values(b);
            job_.buffer = static_cast<std::byte*>(shard.data);
            run(direction == shard_copy::from_tensors ? tile_phase::pack : tile_phase::unpack,
                kind == owned_kind::gradients ? program_.of(b).owned : program_.of(b).owned_values, type, type);
        }
        comm_.executor().release_to_host();
    }

    /// A tensor's elements where the host can read them, in `copy` if need be.
    [[nodiscard]] tensor_view readable(const tensor_view& view, std::vector<std::byte>& copy)
    {
        if constexpr (space == memory_space::host) {
            return view;
        } else {
            copy.resize(static_cast<std::size_t>(view.size()) * size_of(view.type));
            comm_.executor().join_host();
            comm_.executor().read(copy.data(), static_cast<const std::byte*>(view.data), copy.size());
            auto out = view;
            out.data = copy.data();
            out.space = memory_space::host;
            return out;
        }
    }

    void count_control(std::uint64_t bytes) noexcept { sent_.control_bytes += bytes; }

private:
    [[nodiscard]] static const synchronizer_options& checked(const synchronizer_options& options)
    {
        if (options.shared_gradients)
            fail("shared_gradients is set, but this communicator works on a stream; expected the host's own gradients");
        if (options.local.progress_thread)
            fail("progress_thread is set, but this communicator works on a stream, which needs none");
        return options;
    }

    [[nodiscard]] element_type wire_type(element_type type) const noexcept
    {
        if (type != element_type::f32 || buffers_.options().wire == wire_format::as_is)
            return type;
        return buffers_.options().wire == wire_format::bf16 ? element_type::bf16 : element_type::f16;
    }

    void aim(std::size_t number, const tensor_view& view)
    {
        job_.tensors[number] = view.data;
        job_.alignment = tiles::common_alignment(job_.alignment, view.data);
    }
    void aim_at_gradients(std::size_t b)
    {
        job_.buffer = buffers_.at(b, 0);
        job_.alignment = 16;
        std::size_t number = 0;
        for (const auto p : program_.of(b).gradients)
            aim(number++, buffers_.tensors().gradients()[p]);
    }
    void aim_at_values(std::size_t b)
    {
        job_.buffer = buffers_.at(b, 0);
        job_.alignment = 16;
        std::size_t number = 0;
        for (const auto& [p, slab] : program_.of(b).values)
            aim(number++, buffers_.tensors().values()[p][slab]);
    }

    void run(tile_phase phase, const tile_program::range& which, element_type type, element_type wire)
    {
        if (which.count == 0)
            return;
        auto job = job_;
        job.tiles += which.first;
        job.count = static_cast<std::uint32_t>(which.count);
        comm_.executor().run(phase, job, type, wire);
    }

    C comm_;
    device_arrays<C> arrays_;
    traffic sent_;
    bucket_buffers buffers_;
    tensor_route<C> in_tensors_;
    tile_program program_;
    step_weights weights_;
    message_round<C> round_;
    std::vector<tiles::class_scale> scales_;
    std::vector<double> squares_;
    tiles::class_scale* scales_there_ = nullptr;
    double* squares_there_ = nullptr;
    double* weights_there_ = nullptr;
    tiles::tile_job job_; ///< what all launches share
    double own_weight_ = 1;
    bool fresh_ = true, weighted_ = false;
    bool on_stream_ = false; ///< some bucket of the step is
    std::size_t launched_ = 0;
};

} // namespace sdp::detail
