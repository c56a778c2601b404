// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Launches tiles on a CUDA stream. Defined in launch.cu, which the target `sdp::cuda` compiles for every target that
/// links it, so only that file needs CUDA's compiler.

#include <sdp/tiles/tile_executor.hpp>

#include <cuda_runtime_api.h>

namespace sdp::cuda {

/// Enqueues one launch; returns at once.
/// @throws sdp::cuda_error
void run_tiles(tile_phase phase, const tiles::tile_job& job, element_type type, element_type wire, cudaStream_t stream);

} // namespace sdp::cuda
