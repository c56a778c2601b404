// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Marks functions that a device runs too. The mark is empty for compilers other than CUDA's.

#ifdef __CUDACC__
#define SDP_HOST_DEVICE __host__ __device__
#else
#define SDP_HOST_DEVICE
#endif
