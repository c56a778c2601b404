// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <sdp/adapters/torch.hpp>

#include <ATen/ATen.h>

int main()
{
    const at::Tensor matrix = at::ones({2, 3});
    const sdp::tensor_view view = sdp::view_of(matrix.t());
    return view.shape == sdp::extents {3, 2} && view.strides == sdp::extents {1, 3} ? 0 : 1;
}
