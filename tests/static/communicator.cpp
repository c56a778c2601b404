// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "support/archetypes.hpp"

#include <sdp/comm/threads.hpp>

#include <concepts>

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

static_assert(sdp::communicator<sdp::thread_communicator>);
static_assert(sdp::abortable<sdp::thread_communicator>);
static_assert(!sdp::ordered_exchange<sdp::thread_communicator>);
static_assert(std::copyable<sdp::thread_communicator>);

} // namespace
