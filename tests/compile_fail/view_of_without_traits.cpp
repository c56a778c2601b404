// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "support/archetypes.hpp"

#ifdef SDP_WRONG
using tested = archetypes::tensor_without_traits;
#else
using tested = archetypes::minimal_tensor;
#endif

sdp::tensor_view see(const tested& t);

sdp::tensor_view see(const tested& t)
{
    return sdp::view_of(t);
}
