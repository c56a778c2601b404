// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "support/archetypes.hpp"

#include <sdp/data_parallel.hpp>
#include <sdp/masking/forward.hpp>

#ifdef SDP_WRONG
using tested = archetypes::communicator_without_exchange;
#else
using tested = archetypes::minimal_communicator;
#endif

int rank_of(const sdp::model& m, tested comm);

int rank_of(const sdp::model& m, tested comm)
{
    const sdp::data_parallel net(m, sdp::pinned {}, sdp::forward_masking {}, comm);
    return net.rank();
}
