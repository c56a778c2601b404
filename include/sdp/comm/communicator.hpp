// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The communicator: a small base concept, and one concept per capability.
///
/// A communicator sends contiguous bytes between peers. It never sees a policy, a mask or a tensor.

#include <sdp/tensor.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

namespace sdp {

/// A message to one peer.
struct outgoing {
    int peer = 0;
    const void* data = nullptr;
    std::size_t bytes = 0;
};

/// A buffer for the message of one peer.
struct incoming {
    int peer = 0;
    void* data = nullptr;
    std::size_t bytes = 0;
};

/// Distinguishes concurrent exchanges. Both ends of a message give the same tag.
using exchange_tag = int;

/// Largest tag that the library uses; small enough for every MPI.
inline constexpr exchange_tag max_exchange_tag = 32767;

/// An exchange in progress.
///
/// | expression      | result | throws                                       | meaning                                       |
/// |-----------------|--------|----------------------------------------------|-----------------------------------------------|
/// | `p.test()`      | bool   | what the communicator throws                 | makes progress; true once all messages are done |
/// | `p.wait(limit)` | void   | `timeout_error` naming a peer; `aborted_error` | returns once all messages are done            |
///
/// Semantics: the buffers belong to the exchange until `test` has returned true or `wait` has returned. Movable. After completion
/// `test` remains true. A default-constructed object is complete. Destroying an unfinished exchange never throws.
template <class P>
concept pending_exchange = std::movable<P> && std::default_initializable<P> && requires(P& p, std::chrono::milliseconds limit)
{
    {
        p.test()
        } -> std::same_as<bool>;
    p.wait(limit);
};

/// The base concept: a sparse all-to-all.
///
/// | expression                       | result             | meaning                                                     |
/// |----------------------------------|--------------------|-------------------------------------------------------------|
/// | `c.rank()`                       | int                | this worker, 0 … size−1                                     |
/// | `c.size()`                       | int                | the world size N                                            |
/// | `c.exchange(tag, sends, receives)` | a pending exchange | starts the messages; at most one per peer and direction    |
///
/// Semantics the compiler cannot check:
/// - The call returns without waiting for peers. The two spans need to live until it returns, the buffers until completion.
/// - A message is matched by (sender, receiver, tag); messages equal in all three are matched in order of posting. An
///   implementation may ignore the tag if it keeps the order of posting between each pair, and must then declare
///   `ordered_exchange`: the library posts in the same order on all ranks for such a communicator.
/// - Both ends give the same number of bytes; a difference is an error, on whichever end can detect it.
/// - No message has its sender as its receiver, and none has zero bytes.
/// - Memory is host memory unless the type also models a capability that says otherwise.
///
/// @snippet tests/support/archetypes.hpp minimal communicator
template <class C>
concept communicator
    = requires(C& c, const C& k, exchange_tag tag, std::span<const outgoing> sends, std::span<const incoming> receives)
{
    {
        k.rank()
        } -> std::same_as<int>;
    {
        k.size()
        } -> std::same_as<int>;
    {
        c.exchange(tag, sends, receives)
        } -> pending_exchange;
};

/// The pending exchange that `exchange` returns.
template <communicator C>
using pending_of
    = decltype(std::declval<C&>().exchange(exchange_tag {}, std::span<const outgoing> {}, std::span<const incoming> {}));

/// Capability: the communicator matches by order of posting and ignores tags (a stream, for example).
template <class C>
concept ordered_exchange = communicator<C> && requires
{
    requires C::ordered_exchange;
};

/// Capability: `c.abort()` ends the waits of every worker of the group with `aborted_error`, so that no worker waits for one that
/// has failed.
template <class C>
concept abortable = communicator<C> && requires(C& c)
{
    c.abort();
};

/// An arbitrary callable that is no plain function; tests that a segment's `wait` takes any callable.
struct wait_condition {
    int state;
    [[nodiscard]] bool operator()() const noexcept { return state != 0; }
};

/// One block of memory per worker, which all workers that reach it read and write directly.
///
/// | expression                  | result       | meaning                                                            |
/// |-----------------------------|--------------|--------------------------------------------------------------------|
/// | `s.of(rank)`                | `std::byte*` | that worker's memory; null until that worker has opened it         |
/// | `s.notify()`                | void         | wakes peers that wait for a change in this worker's memory         |
/// | `s.wait(rank, done, limit)` | void         | returns once `done()` is true                                      |
///
/// `wait` takes any callable and throws `timeout_error` naming the rank, or `aborted_error`.
///
/// Semantics: the memory is zero-initialised, aligned to 64 bytes, and lives until all workers have released it. `done` reads
/// atomics in the memory of `rank`. Writes before a release there are visible after an acquire.
template <class S>
concept memory_segment
    = std::movable<S> && requires(S& s, const S& k, int rank, wait_condition done, std::chrono::milliseconds limit)
{
    {
        k.of(rank)
        } -> std::same_as<std::byte*>;
    s.notify();
    s.wait(rank, done, limit);
};

/// Capability: workers reach each other's memory, so gradients need no messages.
///
/// | expression             | result           | meaning                                                       |
/// |------------------------|------------------|---------------------------------------------------------------|
/// | `c.reaches(rank)`      | bool             | true if this worker and `rank` reach each other's memory      |
/// | `c.share(bytes)`       | a memory segment | every worker names its own size, above 0                      |
/// | `C::memory_route`      | string           | name of this route in lists of routes                         |
/// | `C::one_address_space` | bool             | true if an address is valid for all workers                   |
///
/// Semantics: `reaches` is an equivalence, so `reaches(rank())` is true. All workers that reach another one call `share` in the
/// same order. In one address space an owner reads and writes its peers' tensors directly, but only while these peers are inside
/// a call to the library that waits for the owner.
template <class C>
concept peer_memory = communicator<C> && requires(C& c, const C& k, int rank, std::size_t bytes)
{
    {
        k.reaches(rank)
        } -> std::same_as<bool>;
    {
        c.share(bytes)
        } -> memory_segment;
    std::string_view(C::memory_route);
    requires std::same_as < std::remove_cv_t<decltype(C::one_address_space)>,
    bool > ;
};

/// Capability: `c.all_reduce(data, count, type)` starts a sum over all workers, in place, with the transport's own all-reduce.
/// The transport chooses the order of the sum, so its last bits may differ from run to run. All workers start their all-reduces
/// in the same order.
template <class C>
concept native_all_reduce = communicator<C> && requires(C& c, void* data, std::size_t count, element_type type)
{
    {
        c.all_reduce(data, count, type)
        } -> pending_exchange;
};

} // namespace sdp
