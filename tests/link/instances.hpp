// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Stands for the header that a large host includes in place of sdp/sdp.hpp: instances.cpp instantiates the step for its
/// communicator, and no other unit does.

#include <sdp/sdp.hpp>

// [extern template]
extern template class sdp::synchronizer<sdp::thread_communicator>;
// [extern template]
