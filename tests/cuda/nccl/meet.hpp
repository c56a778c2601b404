// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Connects the processes of an NCCL group: rank 0 writes the group's id to a file, the others wait for it.
///
/// NCCL refuses two ranks on one device unless it takes them for different hosts: give each process an NCCL_HOSTID of its own.

#include <sdp/comm/nccl.hpp>
#include <sdp/stream.hpp>

#include <chrono>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

namespace support {

[[nodiscard]] inline ncclUniqueId meet(int rank, const std::string& file)
{
    ncclUniqueId id;
    if (rank == 0) {
        sdp::detail::check_nccl(ncclGetUniqueId(&id), "ncclGetUniqueId");
        std::ofstream(file + ".part", std::ios::binary).write(id.internal, sizeof id.internal);
        std::filesystem::rename(file + ".part", file);
        return id;
    }
    for (int tries = 0; !std::filesystem::exists(file); ++tries) {
        if (tries == 600)
            sdp::detail::fail("rank 0 has not written ", file, " within a minute");
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    std::ifstream(file, std::ios::binary).read(id.internal, sizeof id.internal);
    return id;
}

/// Runs the main function of a rank's program.
/// @param usage for who gives less than `least` arguments
template <class Run> [[nodiscard]] int run_rank(int arguments, int least, const char* usage, Run run)
{
    if (arguments <= least) {
        std::fprintf(stderr, "usage: %s\n", usage);
        return 2;
    }
    if (sdp::cuda::device_count() == 0) {
        std::puts("skipped: there is no CUDA device");
        return 0;
    }
    try {
        return run();
    } catch (const std::exception& e) {
        std::fprintf(stderr, "%s\n", e.what());
        return 1;
    }
}

} // namespace support
