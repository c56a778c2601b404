// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "support/archetypes.hpp"

#include <sdp/data_parallel.hpp>
#include <sdp/masking/forward.hpp>

#ifdef SDP_WRONG
using tested = archetypes::communicator_without_exchange;
#else
using tested = archetypes::minimal_communicator;
#endif

template class sdp::data_parallel<sdp::pinned, sdp::forward_masking, tested>;
