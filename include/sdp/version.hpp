// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The library's version, for code that supports several versions.

#define SDP_VERSION_MAJOR 0
#define SDP_VERSION_MINOR 2
#define SDP_VERSION_PATCH 0
