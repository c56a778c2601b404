// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Puts tiles on a CUDA stream. Defined in launch.cu, which the target `sdp::cuda` adds to whoever links it, so that only
/// that one file needs CUDA's compiler.

#include <sdp/tiles/tile_executor.hpp>

#include <cuda_runtime_api.h>

namespace sdp::cuda {

/// One launch; returns at once.
/// @throws sdp::cuda_error
void run_tiles(tile_phase phase, const tiles::tile_job& job, element_type type, element_type wire, cudaStream_t stream);

} // namespace sdp::cuda
