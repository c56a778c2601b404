// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief Two workers that are threads. Of the headers only those that compile fast, since every way of consuming compiles it.

#include <sdp/comm/threads.hpp>
#include <sdp/partition/assignment.hpp>
#include <sdp/version.hpp>

#include <atomic>
#include <cstdio>

int main()
{
    sdp::model m;
    const auto block = m.add_block("block");
    m.add_parameter("weight", {4, 4}, {.within = block});
    const sdp::assignment everybody(m, 2);
    std::atomic<int> met = 0;
    sdp::run_workers(2, [&](sdp::thread_communicator comm) { met += comm.size(); });
    std::printf("sdp %d.%d: %d workers hold the block\n", SDP_VERSION_MAJOR, SDP_VERSION_MINOR,
        static_cast<int>(everybody.holders(block).size()));
    return everybody.holders(block).size() == 2 && met == 4 ? 0 : 1;
}
