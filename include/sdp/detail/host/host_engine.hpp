// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Runs buckets through their phases: pack, reduce, publish, unpack; and values to who needs them.
///
/// Knows the communicator and what goes when, but nothing of elements, which are `bucket_passes`'s, nor of what the host may do
/// when, which is the synchronizer's. After the first step it allocates nothing.
///
/// A bucket may go several ways at once: some classes in messages, some through memory, some through the transport's own
/// all-reduce. It is packed for all of them together and unpacked when all are done, so that a tensor is gone through once.

#include <sdp/detail/elements/element_dispatch.hpp>
#include <sdp/detail/exchange/owned_shard.hpp>
#include <sdp/detail/host/memory_route.hpp>
#include <sdp/detail/host/message_route.hpp>
#include <sdp/detail/host/native_route.hpp>
#include <sdp/detail/host/value_exchange.hpp>

#include <limits>
#include <list>
#include <memory>
#include <utility>
#include <vector>

namespace sdp::detail {

template <communicator C> class host_engine {
public:
    static constexpr memory_space space = memory_space::host; ///< where tensors lie
    static constexpr bool contiguous_only = false;
    static constexpr std::size_t most_parameters = std::numeric_limits<std::size_t>::max(); ///< in a bucket
    /// @throws sdp::error for a type that gradients cannot have here
    static void check_type(element_type type)
    {
        with_element_type(type, [](auto) {});
    }

    /// Collective where workers reach each other's memory.
    /// @param gradient_bytes by parameter; with `shared_gradients`, what there has to be room for
    host_engine(overlap_plan plan, std::vector<bucket> buckets, C comm, const bound_tensors& tensors,
        const synchronizer_options& options, std::span<const std::size_t> gradient_bytes)
        : comm_(std::move(comm))
        , store_(std::move(plan), std::move(buckets), choose_routes(plan, comm_, options), tensors, options,
              {in_tensors<C>(options), true})
        , passes_(store_)
        , round_(comm_, store_.peers(), sent_)
        , memory_(comm_, store_, passes_, sent_, wait_for(options), options,
              options.shared_gradients ? gradient_bytes : std::span<const std::size_t> {})
        , messages_(store_, passes_, round_, wait_for(options))
        , native_(comm_, store_, sent_, wait_for(options))
        , values_(store_, round_, wait_for(options))
        , open_(store_.buckets().size(), false)
    {
        store_.allocate([&](std::size_t bytes) { return buffers_.emplace_back(bytes).data(); });
        if (options.shared_gradients && memory_.bytes() == 0)
            for (const auto bytes : gradient_bytes)
                own_gradients_.push_back(std::make_unique<std::byte[]>(bytes));
    }

    [[nodiscard]] const overlap_plan& plan() const noexcept { return store_.plan(); }
    [[nodiscard]] std::span<const bucket> buckets() const noexcept { return store_.buckets(); }
    [[nodiscard]] C& comm() noexcept { return comm_; }
    [[nodiscard]] const traffic& sent() const noexcept { return sent_; }
    [[nodiscard]] std::size_t launched() const noexcept { return launched_; }
    /// Whether a started bucket is not done.
    [[nodiscard]] bool under_way() const noexcept { return oldest_ < launched_; }

    /// The ways that gradients of this worker go.
    [[nodiscard]] std::vector<route_use> routes() const { return list_routes(store_.plan(), store_.routes(), memory_.name); }
    /// Bytes that gradients and values are packed into, and of the memory that peers reach.
    [[nodiscard]] std::size_t buffer_bytes() const noexcept { return store_.buffer_bytes() + memory_.bytes(); }

    /// With `shared_gradients`: the memory for the gradient of a parameter.
    [[nodiscard]] std::byte* gradient_memory(std::size_t parameter) const noexcept
    {
        return own_gradients_.empty() ? memory_.gradient(parameter) : own_gradients_[parameter].get();
    }
    /// Whether the gradient of a parameter has to lie there, because peers or messages go there.
    [[nodiscard]] bool must_be_shared([[maybe_unused]] std::size_t parameter) const
    {
        if constexpr (peer_memory<C>)
            if (!C::one_address_space && memory_.bytes() > 0 && store_.is_exposed_in_place(parameter))
                return true;
        return store_.is_sent_in_place(parameter);
    }

    /// Makes ready for a step. `weights` are by rank, or empty for the plain mean, and must stay until the step is done.
    void begin_step(std::span<const double> weights)
    {
        launched_ = oldest_ = 0;
        memory_.begin_step();
        passes_.begin_step(weights);
    }

    /// Starts the next bucket. All ranks start them in the same order.
    void launch()
    {
        retracting([&] {
            if (launched_ - oldest_ == store_.most_under_way())
                complete_oldest();
            const std::size_t b = launched_++;
            passes_.pack(b);
            memory_.launch(b);
            native_.launch(b);
            messages_.launch(b);
            open_[b] = true;
        });
    }

    /// Pushes what is under way, without waiting.
    void progress()
    {
        for (std::size_t b = oldest_; b < launched_; ++b) {
            if (!open_[b])
                continue;
            messages_.push(b);
            memory_.push(b);
            native_.push(b);
            if (messages_.idle(b) && memory_.idle(b) && native_.idle(b))
                close(b);
        }
        while (oldest_ < launched_ && !open_[oldest_])
            ++oldest_;
        memory_.announce();
    }

    /// Waits until every started bucket is done.
    void drain()
    {
        retracting([&] {
            for (std::size_t b = oldest_; b < launched_; ++b)
                memory_.expose(b);
            memory_.announce(); // who waits for messages rings nobody
            for (std::size_t b = oldest_; b < launched_; ++b) {
                messages_.reduce(b);
                memory_.reduce(b);
                memory_.announce();
            }
            // Owners go through the buckets in order, so who waits for the last sleeps once for all of them.
            for (std::size_t b = launched_; b-- > oldest_;)
                memory_.complete(b);
            memory_.announce();
            while (oldest_ < launched_)
                complete_oldest();
        });
    }

    /// Sends the owners' values to those who store without training, and under owner update to the trainers too.
    void publish_values() { values_(); }

    /// Of the gradients that this worker owns; the first parameter where it is not finite, or as many as there are.
    [[nodiscard]] std::pair<double, std::size_t> owned_square_norm() const
    {
        return detail::owned_square_norm(store_.plan(), store_.tensors().gradients());
    }

    /// Copies between the flat shard, of which `check_shard` has been made, and the gradients or values that are owned.
    void copy_owned(const tensor_view& shard, shard_copy direction, owned_kind kind)
    {
        detail::copy_owned(store_.plan(), shard, direction, [&](parameter_id id, std::size_t slab) {
            return kind == owned_kind::gradients ? store_.tensors().gradient(id) : store_.tensors().value(id, slab);
        });
    }

    /// A tensor's elements where the host can read them: here.
    [[nodiscard]] static const tensor_view& readable(const tensor_view& view, std::vector<std::byte>&) noexcept { return view; }

    /// Counts bytes of control data, which the callers send themselves.
    void count_control(std::uint64_t bytes) noexcept { sent_.control_bytes += bytes; }

private:
    [[nodiscard]] bucket_wait wait_for(const synchronizer_options& options) const noexcept
    {
        return {store_.buckets().size(), options.local.timeout};
    }

    /// Takes back what is exposed if `action` throws.
    template <class Action> void retracting(Action action)
    {
        try {
            action();
        } catch (...) {
            memory_.retract();
            throw;
        }
    }

    void complete_oldest()
    {
        const std::size_t b = oldest_;
        memory_.expose(b);
        memory_.announce();
        messages_.reduce(b);
        memory_.reduce(b);
        memory_.announce();
        messages_.complete(b);
        memory_.complete(b);
        native_.complete(b);
        if (open_[b])
            close(b);
        ++oldest_;
    }

    /// Everything that concerns the bucket has happened.
    void close(std::size_t b)
    {
        passes_.unpack(b);
        open_[b] = false;
    }

    C comm_;
    std::vector<std::unique_ptr<std::byte[]>> own_gradients_; ///< by parameter, if there is no memory that peers reach
    traffic sent_;
    std::list<std::vector<std::byte>> buffers_;
    bucket_buffers store_;
    bucket_passes passes_;
    message_round<C> round_;
    memory_route<C> memory_;
    message_route<C> messages_; ///< after the memory that messages may be sent from
    native_route<C> native_;
    value_exchange<C> values_;
    std::vector<bool> open_; ///< by bucket: launched and not unpacked
    std::size_t launched_ = 0, oldest_ = 0;
};

} // namespace sdp::detail
