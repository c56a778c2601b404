// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "support/stream_communicator.hpp"

#include <sdp/synchronizer.hpp>

// The engine for hosts, and the engine for streams with its ways through messages and through tensors in reach.
template class sdp::synchronizer<sdp::thread_communicator>;
template class sdp::synchronizer<support::stream_communicator>;
template class sdp::synchronizer<support::reaching_stream_communicator>;
