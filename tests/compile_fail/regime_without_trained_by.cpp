// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "support/archetypes.hpp"

#include <sdp/comm/threads.hpp>
#include <sdp/data_parallel.hpp>

#ifdef SDP_WRONG
using tested = archetypes::regime_without_trained_by;
#else
using tested = archetypes::minimal_regime;
#endif

int rank_of(const sdp::model& m, const tested& regime, sdp::thread_communicator comm);

int rank_of(const sdp::model& m, const tested& regime, sdp::thread_communicator comm)
{
    const sdp::data_parallel net(m, sdp::pinned {}, regime, comm);
    return net.rank();
}
