// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Interface every engine implements for the synchronizer, and the engine that a communicator's capabilities ask for.

#include <sdp/detail/exchange/bound_tensors.hpp>
#include <sdp/detail/exchange/owned_shard.hpp>
#include <sdp/detail/host/host_engine.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace sdp::detail {

template <class E, class C>
inline constexpr bool has_engine_constructor = std::is_constructible_v<E, overlap_plan, std::vector<bucket>, C,
    const bound_tensors&, const synchronizer_options&, std::span<const std::size_t>>;

/// An engine runs the exchange of a step: it owns the plan, the communicator and the buffers, and knows the host's tensors.
///
/// | expression                        | result                 | meaning                                                       |
/// |-----------------------------------|------------------------|---------------------------------------------------------------|
/// | `E::space`                        | `memory_space`         | memory of the host's tensors                                  |
/// | `E::contiguous_only`              | bool                   | true if those tensors must be contiguous                      |
/// | `E::own_all_reduce`               | bool                   | true if the transport sums elements itself                    |
/// | `E::most_parameters`              | `std::size_t`          | largest number of parameters in a bucket                      |
/// | `E::check_type(type)`             | void                   | throws for an element type that it does not exchange          |
/// | `E(plan, buckets, comm, …)`       |                        | collective; throws for options without a meaning here         |
/// | `k.plan()`                        | `const overlap_plan&`  | the plan                                                      |
/// | `k.buckets()`                     | `span<const bucket>`   | the buckets, in the order of their exchange                   |
/// | `e.comm()`                        | `C&`                   | the communicator                                              |
/// | `k.sent()`                        | `const traffic&`       | bytes and messages sent since construction                    |
/// | `k.routes()`                      | `vector<route_use>`    | the routes of this worker's gradients                         |
/// | `k.buffer_bytes()`                | `std::size_t`          | memory for packed gradients and values                        |
/// | `k.gradient_memory(p)`            | `std::byte*`           | with `shared_gradients`: memory for that gradient             |
/// | `k.must_be_shared(p)`             | bool                   | true if the gradient must be in that memory                   |
/// | `e.begin_step(weights)`           | void                   | starts a step; `weights` by rank, or empty for the plain mean |
/// | `e.launch()`                      | void                   | starts the exchange of the next bucket                        |
/// | `k.launched()`                    | `std::size_t`          | number of buckets started in this step                        |
/// | `k.under_way()`                   | bool                   | true if a started bucket needs `progress`                     |
/// | `e.progress()`                    | void                   | advances started buckets without waiting                      |
/// | `e.drain()`                       | void                   | completes them: gradients hold their means                    |
/// | `e.publish_values()`              | void                   | sends the owners' values to the workers that need them        |
/// | `e.owned_square_norm()`           | `pair<double, size_t>` | sum of squares; first non-finite parameter, or their number   |
/// | `e.copy_owned(shard, copy, kind)` | void                   | copies between flat shard and owned gradients or values       |
/// | `e.readable(view, scratch)`       | `tensor_view`          | the tensor, or a copy in `scratch` that the host can read     |
/// | `e.count_control(bytes)`          | void                   | counts control data that the caller sent                      |
///
/// Semantics the compiler cannot check:
/// - All ranks call in the same order, and `launch` for the same buckets.
/// - Sums run over the trainers in rank order, rounded as `reduction` rounds, so that the engine does not show in the result.
/// - `tensors` and the weights of a step outlive their use; after the first step no call allocates memory.
template <class E, class C>
concept step_engine = communicator<C> && requires(E& e, const E& k, element_type type, std::size_t p,
    std::span<const double> weights, const tensor_view& view, std::vector<std::byte>& scratch, std::uint64_t bytes)
{
    requires has_engine_constructor<E, C>;
    memory_space(E::space);
    bool(E::contiguous_only);
    bool(E::own_all_reduce);
    std::size_t(E::most_parameters);
    E::check_type(type);
    {
        k.plan()
        } -> std::same_as<const overlap_plan&>;
    {
        k.buckets()
        } -> std::convertible_to<std::span<const bucket>>;
    {
        e.comm()
        } -> std::same_as<C&>;
    {
        k.sent()
        } -> std::same_as<const traffic&>;
    {
        k.routes()
        } -> std::same_as<std::vector<route_use>>;
    {
        k.buffer_bytes()
        } -> std::same_as<std::size_t>;
    {
        k.gradient_memory(p)
        } -> std::same_as<std::byte*>;
    {
        k.must_be_shared(p)
        } -> std::same_as<bool>;
    e.begin_step(weights);
    e.launch();
    {
        k.launched()
        } -> std::same_as<std::size_t>;
    {
        k.under_way()
        } -> std::same_as<bool>;
    e.progress();
    e.drain();
    e.publish_values();
    {
        e.owned_square_norm()
        } -> std::same_as<std::pair<double, std::size_t>>;
    e.copy_owned(view, shard_copy::from_tensors, owned_kind::values);
    {
        e.readable(view, scratch)
        } -> std::convertible_to<tensor_view>;
    e.count_control(bytes);
};

/// A communicator on a stream, recognised without the types that tiles are made of.
template <class C>
concept works_on_stream = requires(C& c, std::span<const outgoing> sends, std::span<const incoming> receives)
{
    c.exchange_on_stream(sends, receives);
};

/// The engine for a communicator; a specialization gives a communicator an engine of its own. It is the host's engine unless
/// `sdp/stream.hpp`, which most units need not read, adds the one for streams.
template <communicator C> struct engine_for {
    static_assert(!works_on_stream<C>,
        "this communicator works on a stream, and the engine for streams was not included; expected #include <sdp/stream.hpp>");
    using type = host_engine<C>;
};
template <communicator C>
requires step_engine<typename engine_for<C>::type, C>
using engine_of = typename engine_for<C>::type;

} // namespace sdp::detail
