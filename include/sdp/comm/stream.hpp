// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The capability of a communicator whose messages wait their turn on a stream, as a device's do.
///
/// Everything is put on one stream, in order: packing, messages, sums. Nothing waits on the host, so there is nothing to poll and
/// nothing to time out on within a step; what has gone wrong shows in `check`.

#include <sdp/comm/communicator.hpp>
#include <sdp/tiles/tile_executor.hpp>

#include <cstddef>
#include <span>

namespace sdp {

/// Capability: gradients lie where a stream works, and messages wait on it for their turn.
///
/// | expression                         | result           | meaning                                                        |
/// |------------------------------------|------------------|----------------------------------------------------------------|
/// | `C::space`                         | `memory_space`   | where tensors lie                                              |
/// | `c.exchange_on_stream(sends, receives)` | void        | messages in that memory, behind what is on the stream           |
/// | `c.executor()`                     | a tile executor& | what runs tiles on the same stream                             |
/// | `c.check()`                        | void             | throws if something has gone wrong on the stream               |
///
/// Semantics: between each pair messages are matched in order of posting. `exchange` goes on to be about host memory: it carries
/// control data, and may wait for the stream.
template <class C>
concept stream_exchange = communicator<C> && requires(C& c, std::span<const outgoing> sends, std::span<const incoming> receives)
{
    requires std::same_as<std::remove_cv_t<decltype(C::space)>, memory_space>;
    c.exchange_on_stream(sends, receives);
    {
        *&c.executor()
        } -> tile_executor;
    c.check();
};

/// A memory segment, in host memory, with marks in the workers' streams.
///
/// | expression           | result | meaning                                                         |
/// |----------------------|--------|-----------------------------------------------------------------|
/// | `s.record(i)`        | void   | this worker's mark `i` stands behind what is on its stream now  |
/// | `s.record_host(i)`   | void   | the same, behind what is on the host's own stream now           |
/// | `s.wait_on(rank, i)` | void   | what comes on this worker's stream waits for that worker's mark |
///
/// Semantics: none waits on the host. Who follows a mark has been told, through the memory, that it stands; it is set again
/// only after all who were to follow it have said that they do.
template <class S>
concept stream_segment = memory_segment<S> && requires(S& s, int rank, std::size_t number)
{
    s.record(number);
    s.record_host(number);
    s.wait_on(rank, number);
};

/// Capability: tiles reach the tensors of other workers, so that owners sum there, without messages or copies.
///
/// | expression                        | result           | meaning                                                          |
/// |-----------------------------------|------------------|------------------------------------------------------------------|
/// | `c.share_on_stream(bytes, marks)` | a stream segment | every worker names its own sizes; in the order of `share`         |
///
/// Semantics: as of `peer_memory`, in one address space, which is about the host's memory *and* about that of tensors.
template <class C>
concept stream_peer_memory = stream_exchange<C> && peer_memory<C> && requires(C& c, std::size_t bytes, std::size_t marks)
{
    requires C::one_address_space;
    {
        c.share_on_stream(bytes, marks)
        } -> stream_segment;
};

/// Capability: the transport's own all-reduce, on the stream.
template <class C>
concept stream_all_reduce = stream_exchange<C> && requires(C& c, void* data, std::size_t count, element_type type)
{
    c.all_reduce_on_stream(data, count, type);
};

} // namespace sdp
