// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "every_header.hpp"

const sdp::model& model_of_the_other_unit();

const sdp::model& model_of_the_other_unit()
{
    static const sdp::model m = [] {
        sdp::model out;
        const auto block = out.add_block("block");
        out.add_parameter("weight", {4, 4}, {.within = block});
        return out;
    }();
    return m;
}
