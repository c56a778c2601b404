// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "support/archetypes.hpp"

#include <sdp/partition/block.hpp>
#include <sdp/partition/nested.hpp>
#include <sdp/partition/neuron.hpp>

namespace {

using namespace archetypes;

static_assert(sdp::partition_policy<minimal_policy>);
static_assert(!sdp::partition_policy<policy_returning_a_rank_set>);
static_assert(!sdp::partition_policy<policy_returning_a_reference>);
static_assert(!sdp::partition_policy<policy_that_changes_itself>);
static_assert(!sdp::partition_policy<policy_without_world>);

static_assert(sdp::partition_policy<sdp::pinned>);
static_assert(sdp::partition_policy<sdp::neuron_partition>);
static_assert(sdp::partition_policy<sdp::block_partition>);
static_assert(sdp::partition_policy<sdp::nested_partition>);
static_assert(sdp::partition_policy<sdp::combined<sdp::block_partition, sdp::neuron_partition>>);
static_assert(sdp::partition_policy<sdp::combined<minimal_policy>>);

// A function or a lambda is a policy too; nothing has to be derived from.
using function = sdp::assignment (*)(const sdp::model&, int);
static_assert(sdp::partition_policy<function>);

} // namespace
