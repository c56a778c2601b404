// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief The kernels: one block per tile, running the tile bodies that the host runs in tests.

#include <sdp/cuda/launch.hpp>
#include <sdp/cuda/runtime.hpp>
#include <sdp/tiles/tile_bodies.hpp>

namespace sdp::cuda {
namespace {

    constexpr unsigned threads = 256;

    template <class Body>
    __global__ void __launch_bounds__(threads) tile_kernel(const __grid_constant__ tiles::tile_job job, const Body body)
    {
        const tiles::work_tile tile = job.tiles[blockIdx.x];
        body(job, tile, threadIdx.x, threads);
    }

    /// Runs one warp per tile.
    template <class T> __global__ void __launch_bounds__(threads) square_kernel(const __grid_constant__ tiles::tile_job job)
    {
        static_assert(tiles::square_lanes == 32);
        const unsigned number = blockIdx.x * (threads / 32) + threadIdx.x / 32;
        if (number >= job.count)
            return;
        const tiles::work_tile tile = job.tiles[number];
        double sum = tiles::square_body<T> {}(job, tile, threadIdx.x % 32);
        for (unsigned half = 16; half > 0; half /= 2) {
            const double other = __shfl_down_sync(0xFFFFFFFFU, sum, half);
            sum = tiles::plus(sum, other);
        }
        if (threadIdx.x % 32 == 0)
            job.results[number] = sum;
    }

    /// @throws sdp::cuda_error of this launch alone; errors of earlier calls are ignored
    template <class... Parameters, class... Arguments>
    void launch(void (*kernel)(Parameters...), unsigned blocks, cudaStream_t stream, const Arguments&... arguments)
    {
        cudaLaunchConfig_t config {};
        config.gridDim = blocks;
        config.blockDim = threads;
        config.stream = stream;
        check_call(cudaLaunchKernelEx(&config, kernel, arguments...), "cudaLaunchKernelEx");
    }

    template <class Body> void launch_tiles(const tiles::tile_job& job, cudaStream_t stream, const Body& body)
    {
        launch(tile_kernel<Body>, job.count, stream, job, body);
    }

} // namespace

void run_tiles(tile_phase phase, const tiles::tile_job& job, element_type type, element_type wire, cudaStream_t stream)
{
    if (job.count == 0)
        return;
    tiles::with_tile_types(type, wire, [&]<class T, class W>(T, W) {
        switch (phase) {
        case tile_phase::pack:
        case tile_phase::pack_weighted:
            launch_tiles(job, stream, tiles::pack_body<T, W> {phase == tile_phase::pack_weighted});
            break;
        case tile_phase::reduce:
            launch_tiles(job, stream, tiles::reduce_body<T, W> {});
            break;
        case tile_phase::reduce_in_tensors:
            launch_tiles(job, stream, tiles::tensor_sum_body<T, W> {});
            break;
        case tile_phase::unpack:
        case tile_phase::unpack_divided:
            launch_tiles(job, stream, tiles::unpack_body<T, W> {phase == tile_phase::unpack_divided});
            break;
        case tile_phase::squares:
            launch(square_kernel<T>, (job.count + threads / 32 - 1) / (threads / 32), stream, job);
            break;
        }
    });
}

} // namespace sdp::cuda
