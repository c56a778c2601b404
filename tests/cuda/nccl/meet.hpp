// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief How the processes of an NCCL group find each other: rank 0 writes the group's id to a file, the others wait for it.
///
/// NCCL refuses two ranks on one device unless it takes them for different hosts: give each process an NCCL_HOSTID of its own.

#include <sdp/comm/nccl.hpp>

#include <chrono>
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

} // namespace support
