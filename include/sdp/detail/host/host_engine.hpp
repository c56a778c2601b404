// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Engine for the host's memory: packs buckets, hands them to its routes, unpacks the means; and sends values.
///
/// Knows the communicator and the order of events, but no elements, which are `bucket_passes`'s, and no rules for the host, which
/// are the synchronizer's. After the first step it allocates nothing.
///
/// A bucket may take several routes at once: some classes in messages, some through memory, some through the transport's own
/// all-reduce. It is packed for all of them together and unpacked when all are done, so that each tensor is read and written
/// once.

#include <sdp/detail/elements/element_dispatch.hpp>
#include <sdp/detail/exchange/owned_shard.hpp>
#include <sdp/detail/host/memory_route.hpp>
#include <sdp/detail/host/message_route.hpp>
#include <sdp/detail/host/native_route.hpp>
#include <sdp/detail/host/value_exchange.hpp>

#include <limits>
#include <list>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace sdp::detail {

/// The library's routes. Messages are last: they may be sent from the memory of another route.
template <communicator C> using host_routes = route_list<memory_route<C>, native_route<C>, message_route<C>>;

/// @tparam Routes a `route_list`
template <communicator C, class Routes = host_routes<C>> class host_engine {
public:
    static constexpr memory_space space = memory_space::host; ///< memory of the tensors
    static constexpr bool contiguous_only = false;
    static constexpr bool own_all_reduce = native_all_reduce<C>; ///< of the transport
    static constexpr std::size_t most_parameters = (std::numeric_limits<std::size_t>::max)(); ///< in a bucket
    /// @throws sdp::input_error for a type that gradients cannot have here
    static void check_type(element_type type)
    {
        with_element_type(type, [](auto) {});
    }

    /// Collective where workers reach each other's memory.
    /// @param gradient_bytes by parameter; with `shared_gradients`, what there has to be room for
    host_engine(overlap_plan plan, std::vector<bucket> buckets, C comm, const bound_tensors& tensors,
        const synchronizer_options& options, std::span<const std::size_t> gradient_bytes)
        : comm_(std::move(comm))
        , buffers_(std::move(plan), std::move(buckets), choose_routes(plan, comm_, options), tensors, options,
              {in_tensors<C>(options), true})
        , passes_(buffers_)
        , round_(comm_, buffers_.peers(), sent_)
        , routes_(route_parts<C> {comm_, buffers_, passes_, round_, sent_, wait_for(options), options,
              options.shared_gradients ? gradient_bytes : std::span<const std::size_t> {}})
        , values_(buffers_, round_, wait_for(options))
        , open_(buffers_.buckets().size(), false)
    {
        buffers_.allocate([&](std::size_t bytes) { return blocks_.emplace_back(bytes).data(); });
        if (options.shared_gradients && route_bytes() == 0)
            for (const auto bytes : gradient_bytes)
                own_gradients_.push_back(std::make_unique<std::byte[]>(bytes));
    }

    [[nodiscard]] const overlap_plan& plan() const noexcept { return buffers_.plan(); }
    [[nodiscard]] std::span<const bucket> buckets() const noexcept { return buffers_.buckets(); }
    [[nodiscard]] C& comm() noexcept { return comm_; }
    [[nodiscard]] const traffic& sent() const noexcept { return sent_; }
    [[nodiscard]] std::size_t launched() const noexcept { return launched_; }
    /// Returns true if a started bucket is not complete.
    [[nodiscard]] bool under_way() const noexcept { return oldest_ < launched_; }

    /// Routes of this worker's gradients.
    [[nodiscard]] std::vector<route_use> routes() const
    {
        std::string_view memory;
        routes_.for_each([&](const auto& route) { memory = memory.empty() ? route.name : memory; });
        return list_routes(buffers_.plan(), buffers_.routes(), memory);
    }
    /// Bytes that gradients and values are packed into, and of the memory that peers reach.
    [[nodiscard]] std::size_t buffer_bytes() const noexcept { return buffers_.buffer_bytes() + route_bytes(); }

    /// With `shared_gradients`: the memory for the gradient of a parameter.
    [[nodiscard]] std::byte* gradient_memory(std::size_t parameter) const noexcept
    {
        if (!own_gradients_.empty())
            return own_gradients_[parameter].get();
        std::byte* out = nullptr;
        routes_.for_each([&](const auto& route) { out = out == nullptr ? route.gradient(parameter) : out; });
        return out;
    }
    /// Returns true if the gradient of a parameter must be in that memory, because peers sum there or messages are sent from
    /// there.
    [[nodiscard]] bool must_be_shared(std::size_t parameter) const
    {
        bool out = buffers_.is_sent_in_place(parameter);
        routes_.for_each([&](const auto& route) { out = out || route.must_hold(parameter); });
        return out;
    }

    /// Starts a step. `weights` are by rank, or empty for the plain mean, and must outlive the step.
    void begin_step(std::span<const double> weights)
    {
        launched_ = oldest_ = 0;
        routes_.for_each([](auto& route) { route.begin_step(); });
        passes_.begin_step(weights);
    }

    /// Starts the next bucket. All ranks start them in the same order.
    void launch()
    {
        abandoning([&] {
            if (launched_ - oldest_ == buffers_.most_under_way())
                complete_oldest();
            const std::size_t b = launched_++;
            passes_.pack(b);
            routes_.for_each([b](auto& route) { route.launch(b); });
            open_[b] = true;
        });
    }

    /// Advances the started buckets without waiting.
    void progress()
    {
        routes_.for_each_reversed([this](auto& route) { route.progress(oldest_, launched_); });
        for (std::size_t b = oldest_; b < launched_; ++b)
            if (open_[b] && is_idle(b))
                close(b);
        while (oldest_ < launched_ && !open_[oldest_])
            ++oldest_;
    }

    /// Waits until every started bucket is done.
    void drain()
    {
        abandoning([&] {
            settle(oldest_, launched_);
            for (std::size_t b = oldest_; b < launched_; ++b)
                reduce(b);
            while (oldest_ < launched_)
                complete_oldest();
        });
    }

    /// Sends the owners' values to the workers that store without training, and under owner update to the trainers too.
    void publish_values() { values_(); }

    /// Of the gradients that this worker owns; the first parameter where it is not finite, or as many as there are.
    [[nodiscard]] std::pair<double, std::size_t> owned_square_norm() const
    {
        return detail::owned_square_norm(buffers_.plan(), buffers_.tensors().gradients());
    }

    /// Copies between the flat shard, of which `check_shard` has been made, and the gradients or values that are owned.
    void copy_owned(const tensor_view& shard, shard_copy direction, owned_kind kind)
    {
        detail::copy_owned(buffers_.plan(), shard, direction, [&](parameter_id id, std::size_t slab) {
            return kind == owned_kind::gradients ? buffers_.tensors().gradient(id) : buffers_.tensors().value(id, slab);
        });
    }

    /// A tensor's elements where the host can read them: here.
    [[nodiscard]] static const tensor_view& readable(const tensor_view& view, std::vector<std::byte>&) noexcept { return view; }

    /// Counts bytes of control data, which the callers send themselves.
    void count_control(std::uint64_t bytes) noexcept { sent_.control_bytes += bytes; }

private:
    [[nodiscard]] bucket_wait wait_for(const synchronizer_options& options) const noexcept
    {
        return {buffers_.buckets().size(), options.local.timeout};
    }

    [[nodiscard]] std::size_t route_bytes() const noexcept
    {
        std::size_t out = 0;
        routes_.for_each([&](const auto& route) { out += route.bytes(); });
        return out;
    }
    [[nodiscard]] bool is_idle(std::size_t b) const noexcept
    {
        bool out = true;
        routes_.for_each([&](const auto& route) { out = out && route.idle(b); });
        return out;
    }

    /// Abandons the exchange if `action` throws.
    template <class Action> void abandoning(Action action)
    {
        try {
            action();
        } catch (...) {
            routes_.for_each([](auto& route) { route.abandon(); });
            throw;
        }
    }

    void settle(std::size_t first, std::size_t last)
    {
        routes_.for_each([=](auto& route) { route.settle(first, last); });
    }
    void reduce(std::size_t b)
    {
        routes_.for_each_reversed([b](auto& route) { route.reduce(b); });
    }

    void complete_oldest()
    {
        const std::size_t b = oldest_;
        settle(b, b + 1);
        reduce(b);
        routes_.for_each([b](auto& route) { route.complete(b); });
        if (open_[b])
            close(b);
        ++oldest_;
    }

    /// Unpacks a bucket that all routes are done with.
    void close(std::size_t b)
    {
        passes_.unpack(b);
        open_[b] = false;
    }

    C comm_;
    std::vector<std::unique_ptr<std::byte[]>> own_gradients_; ///< by parameter, if there is no memory that peers reach
    traffic sent_;
    std::list<std::vector<std::byte>> blocks_;
    bucket_buffers buffers_;
    bucket_passes passes_;
    message_round<C> round_;
    Routes routes_;
    value_exchange<C> values_;
    std::vector<bool> open_; ///< by bucket: launched and not unpacked
    std::size_t launched_ = 0, oldest_ = 0;
};

} // namespace sdp::detail
