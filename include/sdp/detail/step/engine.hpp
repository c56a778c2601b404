// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The engine that a communicator's capabilities ask for.

#include <sdp/detail/host/host_engine.hpp>

#include <span>

namespace sdp::detail {

/// A communicator on a stream, recognised without the types that tiles are made of.
template <class C>
concept works_on_stream = requires(C& c, std::span<const outgoing> sends, std::span<const incoming> receives)
{
    c.exchange_on_stream(sends, receives);
};

/// The engine for a communicator. It is the host's engine unless `sdp/stream.hpp`, which most units need not read, adds the one
/// for streams.
template <communicator C> struct engine_for {
    static_assert(!works_on_stream<C>,
        "this communicator works on a stream, and the engine for streams was not included; expected #include <sdp/stream.hpp>");
    using type = host_engine<C>;
};
template <communicator C> using engine_of = typename engine_for<C>::type;

} // namespace sdp::detail
