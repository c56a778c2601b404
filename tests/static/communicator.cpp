// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "support/archetypes.hpp"

#include <sdp/comm/threads.hpp>
#include <sdp/synchronizer.hpp>

#include <concepts>
#include <cstddef>

namespace {

using namespace archetypes;

static_assert(sdp::pending_exchange<minimal_pending>);
static_assert(!sdp::pending_exchange<pending_without_test>);
static_assert(!sdp::pending_exchange<pending_without_wait>);
static_assert(!sdp::pending_exchange<pending_without_limit>);
static_assert(!sdp::pending_exchange<pending_with_silent_test>);
static_assert(!sdp::pending_exchange<pending_never_empty>);
static_assert(!sdp::pending_exchange<pending_fixed_in_place>);
static_assert(!sdp::pending_exchange<int>);

static_assert(sdp::communicator<minimal_communicator>);
static_assert(std::same_as<sdp::pending_of<minimal_communicator>, minimal_pending>);
static_assert(!sdp::communicator<communicator_without_exchange>);
static_assert(!sdp::communicator<communicator_without_tags>);
static_assert(!sdp::communicator<communicator_with_changing_rank>);
static_assert(!sdp::communicator<communicator_with_unsigned_size>);
static_assert(!sdp::communicator<communicator_returning<void>>);
static_assert(!sdp::communicator<communicator_returning<pending_without_wait>>);

// A capability has to be declared; having the base concept does not imply it, nor does declaring that it is absent.
static_assert(!sdp::ordered_exchange<minimal_communicator>);
static_assert(sdp::ordered_exchange<ordered_communicator>);
static_assert(!sdp::ordered_exchange<unordered_communicator>);
static_assert(!sdp::abortable<minimal_communicator>);
static_assert(sdp::abortable<abortable_communicator>);
static_assert(!sdp::abortable<communicator_without_exchange>);

static_assert(sdp::memory_segment<minimal_segment>);
static_assert(!sdp::memory_segment<segment_without_of>);
static_assert(!sdp::memory_segment<segment_without_notify>);
static_assert(!sdp::memory_segment<segment_without_wait>);
static_assert(!sdp::memory_segment<segment_without_limit>);
static_assert(!sdp::memory_segment<segment_of_void>);
static_assert(!sdp::memory_segment<segment_that_changes_itself>);
static_assert(!sdp::memory_segment<segment_fixed_in_place>);
static_assert(!sdp::memory_segment<std::byte*>);

static_assert(sdp::peer_memory<minimal_peer_memory>);
static_assert(sdp::peer_memory<peer_memory_sharing<minimal_segment>>);
static_assert(!sdp::peer_memory<minimal_communicator>);
static_assert(!sdp::peer_memory<peer_memory_sharing<void>>);
static_assert(!sdp::peer_memory<peer_memory_sharing<segment_without_wait>>);
static_assert(!sdp::peer_memory<peer_memory_without_reaches>);
static_assert(!sdp::peer_memory<peer_memory_with_changing_reach>);
static_assert(!sdp::peer_memory<peer_memory_without_share>);
static_assert(!sdp::peer_memory<peer_memory_without_name>);
static_assert(!sdp::peer_memory<peer_memory_with_a_number_for_name>);
static_assert(!sdp::peer_memory<peer_memory_without_address_space>);
static_assert(!sdp::peer_memory<peer_memory_with_a_number_for_address_space>);
static_assert(!sdp::peer_memory<peer_memory_alone>);

static_assert(sdp::native_all_reduce<minimal_all_reduce>);
static_assert(!sdp::native_all_reduce<minimal_communicator>);
static_assert(!sdp::native_all_reduce<minimal_peer_memory>);
static_assert(!sdp::native_all_reduce<all_reduce_that_waits>);
static_assert(!sdp::native_all_reduce<all_reduce_of_bytes>);
static_assert(!sdp::native_all_reduce<all_reduce_of_floats>);
static_assert(!sdp::native_all_reduce<all_reduce_alone>);

static_assert(sdp::communicator<sdp::thread_communicator>);
static_assert(sdp::memory_segment<sdp::thread_segment>);
static_assert(sdp::peer_memory<sdp::thread_communicator>);
static_assert(sdp::thread_communicator::one_address_space);
static_assert(!sdp::native_all_reduce<sdp::thread_communicator>);
static_assert(sdp::abortable<sdp::thread_communicator>);
static_assert(!sdp::ordered_exchange<sdp::thread_communicator>);
static_assert(std::copyable<sdp::thread_communicator>);

} // namespace

// The minimal models are enough for the library.
template class sdp::synchronizer<archetypes::minimal_communicator>;
template class sdp::synchronizer<archetypes::minimal_peer_memory>;
template class sdp::synchronizer<archetypes::minimal_all_reduce>;
