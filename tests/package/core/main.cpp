// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <sdp/sdp.hpp>

#include <iostream>

int main()
{
    sdp::model m;
    const auto block = m.add_block("block");
    m.add_parameter("weight", {4, 4}, {.within = block});
    const auto holders = sdp::block_partition {.coverage = 0.5}(m, 4);
    std::cout << holders.holders(block).size() << " of 4 workers hold the block\n";
    return holders.holders(block).size() == 2 ? 0 : 1;
}
