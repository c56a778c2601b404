// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "support/archetypes.hpp"

#include <sdp/comm/threads.hpp>
#include <sdp/data_parallel.hpp>

#ifdef SDP_WRONG
using tested = archetypes::regime_without_trained_by;
#else
using tested = archetypes::minimal_regime;
#endif

template class sdp::data_parallel<sdp::pinned, tested, sdp::thread_communicator>;
