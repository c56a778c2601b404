// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Runs tiles on a stream: what a device, or a host in its place, has to offer.

#include <sdp/tensor.hpp>
#include <sdp/tiles/tile.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>

namespace sdp {

/// What is done with tiles.
enum class tile_phase : std::uint8_t {
    pack, ///< gradients or values to the buffer
    pack_weighted, ///< the same, times the worker's weight: for sums of the transport
    reduce, ///< sums of what has arrived
    reduce_in_tensors, ///< sums of what lies in the tensors of several workers
    unpack, ///< from the buffer
    unpack_divided, ///< the same, divided: sums of the transport
    squares, ///< sums of squares of tensors, to the results
};

/// Runs tiles on a stream.
///
/// | expression                      | result       | meaning                                                               |
/// |---------------------------------|--------------|-----------------------------------------------------------------------|
/// | `e.allocate(bytes)`             | `std::byte*` | memory that tiles reach, aligned to 256 bytes; stays until released   |
/// | `e.release(memory)`             | void         | what comes after on the stream may have it; throws nothing            |
/// | `e.write(to, from, bytes)`      | void         | copies host memory there, behind what is on the stream; `from` may go |
/// | `e.read(to, from, bytes)`       | void         | copies back, and waits for it                                         |
/// | `e.run(phase, job, type, wire)` | void         | does a phase on the tiles of a job, behind what is on the stream      |
/// | `e.join_host()`                 | void         | what comes waits for what the host's own stream holds now             |
/// | `e.release_to_host()`           | void         | what the host's own stream gets from now on waits for what is here    |
template <class E>
concept tile_executor = requires(E& e, std::byte* there, const std::byte* from_there, const void* here, void* back,
    std::size_t bytes, const tiles::tile_job& job, element_type type)
{
    {
        e.allocate(bytes)
        } -> std::same_as<std::byte*>;
    e.release(from_there);
    e.write(there, here, bytes);
    e.read(back, from_there, bytes);
    e.run(tile_phase::pack, job, type, type);
    e.join_host();
    e.release_to_host();
};

} // namespace sdp
