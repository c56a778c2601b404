// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The tile executor: the interface of a device, or of a host in its place, that runs tiles on a stream.

#include <sdp/tensor.hpp>
#include <sdp/tiles/tile.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>

namespace sdp {

/// Operations on tiles.
enum class tile_phase : std::uint8_t {
    pack, ///< gradients or values to the buffer
    pack_weighted, ///< the same, times the worker's weight: for the transport's sums
    reduce, ///< sums of received elements
    reduce_in_tensors, ///< sums of elements in the tensors of several workers
    unpack, ///< from the buffer
    unpack_divided, ///< the same, divided: for the transport's sums
    squares, ///< sums of squares of tensors, to the results
};

/// Runs tiles on a stream.
///
/// | expression                      | result       | meaning                                                               |
/// |---------------------------------|--------------|-----------------------------------------------------------------------|
/// | `e.allocate(bytes)`             | `std::byte*` | memory that tiles reach, aligned to 256 bytes; stays until released   |
/// | `e.release(memory)`             | void         | frees it for later work on the stream; throws nothing                 |
/// | `e.write(to, from, bytes)`      | void         | enqueues a copy of host memory; `from` may change when it returns     |
/// | `e.read(to, from, bytes)`       | void         | copies back, and waits for the copy                                   |
/// | `e.run(phase, job, type, wire)` | void         | enqueues a phase on the tiles of a job                                |
/// | `e.join_host()`                 | void         | later work here waits for the present work of the host's own stream   |
/// | `e.release_to_host()`           | void         | later work of the host's own stream waits for the present work here   |
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
