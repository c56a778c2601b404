// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Marks what a device runs too. To any other compiler than CUDA's the mark is nothing.

#ifdef __CUDACC__
#define SDP_HOST_DEVICE __host__ __device__
#else
#define SDP_HOST_DEVICE
#endif
