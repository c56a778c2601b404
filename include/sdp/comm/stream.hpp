// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Capabilities of a communicator that enqueues its messages on a stream, as on a device.
///
/// All work is enqueued on one stream, in order: packing, messages, sums. The host never waits, so a step has nothing to poll and
/// no time-out; `throw_if_failed` reports errors.

#include <sdp/comm/communicator.hpp>
#include <sdp/tiles/tile_executor.hpp>

#include <cstddef>
#include <span>

namespace sdp {

/// Capability: gradients lie in the memory of a stream, and messages are enqueued on that stream.
///
/// | expression                         | result           | meaning                                                        |
/// |------------------------------------|------------------|----------------------------------------------------------------|
/// | `C::space`                         | `memory_space`   | where tensors lie                                              |
/// | `c.exchange_on_stream(sends, receives)` | void        | enqueues messages in that memory                                |
/// | `c.executor()`                     | a tile executor& | runs tiles on the same stream                                  |
/// | `c.throw_if_failed()`              | void             | throws the error of an earlier operation on the stream         |
///
/// Semantics: between each pair messages are matched in order of posting. `exchange` still uses host memory: it carries control
/// data, and may wait for the stream.
template <class C>
concept stream_exchange = communicator<C> && requires(C& c, std::span<const outgoing> sends, std::span<const incoming> receives)
{
    requires std::same_as<std::remove_cv_t<decltype(C::space)>, memory_space>;
    c.exchange_on_stream(sends, receives);
    {
        *&c.executor()
        } -> tile_executor;
    c.throw_if_failed();
};

/// A memory segment in host memory, with marks in the workers' streams.
///
/// | expression           | result | meaning                                                         |
/// |----------------------|--------|-----------------------------------------------------------------|
/// | `s.record(i)`        | void   | records this worker's mark `i` on its stream                    |
/// | `s.record_host(i)`   | void   | records it on the host's own stream                             |
/// | `s.wait_on(rank, i)` | void   | makes this worker's stream wait for that worker's mark          |
///
/// Semantics: none of these calls blocks the host. Before a worker waits on a mark, the memory has told it that the mark is
/// recorded. A mark is recorded again only after all workers that were to wait on it have confirmed that they do.
template <class S>
concept stream_segment = memory_segment<S> && requires(S& s, int rank, std::size_t number)
{
    s.record(number);
    s.record_host(number);
    s.wait_on(rank, number);
};

/// Capability: tiles reach the tensors of other workers, so owners sum there, without messages or copies.
///
/// | expression                        | result           | meaning                                                          |
/// |-----------------------------------|------------------|------------------------------------------------------------------|
/// | `c.share_on_stream(bytes, marks)` | a stream segment | every worker gives its own sizes; in the order of `share`        |
///
/// Semantics: as of `peer_memory`, in one address space, which covers the host's memory *and* the tensors' memory.
template <class C>
concept stream_peer_memory = stream_exchange<C> && peer_memory<C> && requires(C& c, std::size_t bytes, std::size_t marks)
{
    requires C::one_address_space;
    {
        c.share_on_stream(bytes, marks)
        } -> stream_segment;
};

/// Capability: the transport's own all-reduce, enqueued on the stream.
template <class C>
concept stream_all_reduce = stream_exchange<C> && requires(C& c, void* data, std::size_t count, element_type type)
{
    c.all_reduce_on_stream(data, count, type);
};

} // namespace sdp
