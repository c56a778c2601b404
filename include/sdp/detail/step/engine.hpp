// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The engine that a communicator's capabilities ask for.

#include <sdp/detail/host/host_engine.hpp>
#include <sdp/detail/stream/stream_engine.hpp>

namespace sdp::detail {

/// The engine for a communicator.
template <communicator C> struct engine_for {
    using type = host_engine<C>;
};
template <stream_exchange C> struct engine_for<C> {
    using type = stream_engine<C>;
};
template <communicator C> using engine_of = typename engine_for<C>::type;

} // namespace sdp::detail
