// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "instances.hpp"

// [instance]
template class sdp::synchronizer<sdp::thread_communicator>;
// [instance]
