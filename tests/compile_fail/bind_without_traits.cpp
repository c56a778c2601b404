// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "support/archetypes.hpp"

#include <sdp/comm/threads.hpp>
#include <sdp/synchronizer.hpp>

#ifdef SDP_WRONG
using tested = archetypes::tensor_without_traits;
#else
using tested = archetypes::minimal_tensor;
#endif

void bind(sdp::synchronizer<sdp::thread_communicator>& net, const tested& values);

void bind(sdp::synchronizer<sdp::thread_communicator>& net, const tested& values)
{
    net.bind(sdp::parameter_id(0), values);
}
