// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "support/stream_communicator.hpp"

#include <sdp/comm/threads.hpp>
#include <sdp/stream.hpp>
#include <sdp/synchronizer.hpp>

#include <cstddef>

namespace {

using support::marked_segment;
using support::reaching_stream_communicator;
using support::stream_communicator;

struct segment_without_mark : sdp::thread_segment {
    void record_host(std::size_t);
    void wait_on(int, std::size_t);
};
struct segment_without_host_mark : sdp::thread_segment {
    void record(std::size_t);
    void wait_on(int, std::size_t);
};
struct segment_without_follow : sdp::thread_segment {
    void record(std::size_t);
    void record_host(std::size_t);
};
struct marks_without_memory {
    void record(std::size_t);
    void record_host(std::size_t);
    void wait_on(int, std::size_t);
};

/// A communicator on a stream that reaches tensors, complete but for its segments.
template <class Segment> struct sharing_on_stream : reaching_stream_communicator {
    using reaching_stream_communicator::reaching_stream_communicator;
    Segment share_on_stream(std::size_t, std::size_t);
};
struct several_address_spaces : reaching_stream_communicator {
    using reaching_stream_communicator::reaching_stream_communicator;
    static constexpr bool one_address_space = false;
};
/// Memory for the host, none for tensors.
struct host_memory_alone : stream_communicator {
    using stream_communicator::stream_communicator;
    static constexpr std::string_view memory_route = "near miss";
    static constexpr bool one_address_space = true;
    bool reaches(int) const;
    sdp::thread_segment share(std::size_t);
};

static_assert(sdp::stream_segment<marked_segment>);
static_assert(!sdp::stream_segment<sdp::thread_segment>);
static_assert(!sdp::stream_segment<segment_without_mark>);
static_assert(!sdp::stream_segment<segment_without_host_mark>);
static_assert(!sdp::stream_segment<segment_without_follow>);
static_assert(!sdp::stream_segment<marks_without_memory>);

static_assert(sdp::stream_peer_memory<reaching_stream_communicator>);
static_assert(sdp::stream_peer_memory<sharing_on_stream<marked_segment>>);
static_assert(!sdp::stream_peer_memory<sharing_on_stream<sdp::thread_segment>>);
static_assert(!sdp::stream_peer_memory<sharing_on_stream<void>>);
static_assert(!sdp::stream_peer_memory<several_address_spaces>);
static_assert(sdp::peer_memory<host_memory_alone> && !sdp::stream_peer_memory<host_memory_alone>);
static_assert(sdp::stream_exchange<stream_communicator> && !sdp::stream_peer_memory<stream_communicator>);
static_assert(!sdp::stream_peer_memory<sdp::thread_communicator>);

} // namespace

template class sdp::synchronizer<stream_communicator>;
template class sdp::synchronizer<reaching_stream_communicator>;
