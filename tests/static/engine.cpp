// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "support/archetypes.hpp"
#include "support/messages_only.hpp"
#include "support/stream_communicator.hpp"

#include <sdp/comm/threads.hpp>
#include <sdp/synchronizer.hpp>

#include <cstddef>

namespace {

using sdp::detail::exchange_route;
using sdp::detail::step_engine;
using threads = sdp::thread_communicator;

// Every route, and the no-op route where the capability is missing.
static_assert(exchange_route<sdp::detail::absent_route>);
static_assert(exchange_route<sdp::detail::message_route<support::messages_only>>);
static_assert(exchange_route<sdp::detail::message_route<threads>>);
static_assert(exchange_route<sdp::detail::memory_route<support::messages_only>>);
static_assert(exchange_route<sdp::detail::memory_route<threads>>);
static_assert(exchange_route<sdp::detail::native_route<support::messages_only>>);

struct waiting_abandon : sdp::detail::absent_route {
    void abandon(); // may throw
};
struct void_idle : sdp::detail::absent_route {
    void idle(std::size_t) const;
};
struct one_bucket_progress : sdp::detail::absent_route {
    void progress(std::size_t);
};
static_assert(!exchange_route<waiting_abandon>);
static_assert(!exchange_route<void_idle>);
static_assert(!exchange_route<one_bucket_progress>);

// Both engines.
using host = sdp::detail::host_engine<threads>;
static_assert(step_engine<host, threads>);
static_assert(step_engine<sdp::detail::host_engine<support::messages_only>, support::messages_only>);
static_assert(step_engine<sdp::detail::stream_engine<support::stream_communicator>, support::stream_communicator>);
static_assert(
    step_engine<sdp::detail::stream_engine<support::reaching_stream_communicator>, support::reaching_stream_communicator>);
static_assert(!step_engine<host, support::messages_only>); // of another communicator

struct engine_without_drain : host {
    using host::host;
    void drain() = delete;
};
struct engine_with_void_norm : host {
    using host::host;
    void owned_square_norm();
};
static_assert(!step_engine<engine_without_drain, threads>);
static_assert(!step_engine<engine_with_void_norm, threads>);

} // namespace
