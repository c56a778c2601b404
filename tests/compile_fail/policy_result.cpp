// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "support/archetypes.hpp"

#include <sdp/comm/threads.hpp>
#include <sdp/data_parallel.hpp>
#include <sdp/masking/forward.hpp>

#ifdef SDP_WRONG
using tested = archetypes::policy_returning_a_rank_set;
#else
using tested = archetypes::minimal_policy;
#endif

int rank_of(const sdp::model& m, const tested& policy, sdp::thread_communicator comm);

int rank_of(const sdp::model& m, const tested& policy, sdp::thread_communicator comm)
{
    const sdp::data_parallel net(m, policy, sdp::forward_masking {}, comm);
    return net.rank();
}
