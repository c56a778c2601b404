// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "every_header.hpp"

#include <cstdio>

const sdp::model& model_of_the_other_unit();

int main()
{
    const sdp::model& m = model_of_the_other_unit();
    const auto holders = sdp::block_partition {.coverage = 0.5}(m, 2);
    const int count = holders.holders(sdp::block_id(0)).size();
    if (count != 1) {
        std::fprintf(stderr, "the block has %d holders; expected 1\n", count);
        return 1;
    }
    return 0;
}
