// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief Links the kernels and NCCL; one step of a single worker, where there is a device.

#include <sdp/comm/nccl.hpp>
#include <sdp/sdp.hpp>
#include <sdp/stream.hpp>

#include <cstdio>
#include <vector>

int main()
{
    if (sdp::cuda::device_count() == 0) {
        std::puts("linked; there is no CUDA device");
        return 0;
    }
    ncclUniqueId id;
    if (ncclGetUniqueId(&id) != ncclSuccess)
        return 1;
    sdp::model m;
    const auto p = m.add_parameter("matrix", {8, 8});
    sdp::data_parallel net(m, sdp::pinned {}, sdp::forward_masking {}, sdp::nccl_communicator::create(id, 0, 1, nullptr));
    float* gradient = nullptr;
    sdp::cuda::check_call(cudaMallocManaged(&gradient, 64 * sizeof(float)), "cudaMallocManaged");
    for (int i = 0; i < 64; ++i)
        gradient[i] = 2;
    sdp::tensor_view view {gradient, {8, 8}, {8, 1}};
    view.space = sdp::memory_space::cuda;
    net.ready(p, view);
    net.finish();
    return net.gradient_norm() == 16 ? 0 : 1;
}
