// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Switches between header-only use and separate compilation. The folder src mirrors the headers and holds the definitions
/// of functions that are no templates. By default every header includes its own definitions. If a whole program defines
/// `SDP_SEPARATE_COMPILATION`, one of its units includes `sdp/src.hpp`, and all others compile declarations only.

#ifdef SDP_SEPARATE_COMPILATION
#define SDP_INLINE
#else
#define SDP_INLINE inline
#endif
