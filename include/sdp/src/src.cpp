// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The one unit that the CMake target sdp::compiled compiles.
#include <sdp/src.hpp>
