// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief One rank of an NCCL group that runs the oracle's scenarios, and a captured step: `nccl_oracle <rank> <ranks> <file for
/// the id> [scenarios]`.
///
/// Rank 0 writes the group's id to the file, the others wait for it. NCCL refuses two ranks on one device unless it takes them
/// for different hosts: give each process an NCCL_HOSTID of its own.

#include <cuda/captured_step.hpp>
#include <cuda/managed_tensors.hpp>
#include <oracle/run_scenario.hpp>

#include <sdp/comm/nccl.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

namespace {

ncclUniqueId meet(int rank, const std::string& file)
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

int run(int rank, int size, const std::string& file, std::uint64_t scenarios)
{
    auto comm = sdp::nccl_communicator::create(meet(rank, file), rank, size, nullptr, {.timeout = std::chrono::minutes(2)});
    std::uint64_t ran = 0, compared = 0, failures = 0;
    {
        const sdp::cuda::stream stream;
        comm.executor().set_host_stream(stream.get());
        if (const auto flaw = support::flaw_of_captured_step(comm, stream.get()); !flaw.empty()) {
            std::fprintf(stderr, "a captured step: %s\n", flaw.c_str());
            ++failures;
        }
        comm.executor().set_host_stream(nullptr);
    }
    const support::managed_tensors managed;
    for (std::uint64_t seed = 11'000'001; ran < scenarios; ++seed) {
        auto s = oracle::random_scenario(seed, size);
        support::fit_for_stream(s);
        const oracle::expectation expected(s);
        if (!expected.sets.untrained().empty())
            continue;
        const auto found = oracle::run_worker(s, expected, comm);
        for (const auto& failure : found.failures) {
            std::fprintf(stderr, "%s: %s\n", s.describe().c_str(), failure.c_str());
            ++failures;
        }
        compared += found.compared;
        ++ran;
    }
    std::printf("rank %d of %d: %llu scenarios, %llu numbers compared, %llu failures\n", rank, size,
        static_cast<unsigned long long>(ran), static_cast<unsigned long long>(compared),
        static_cast<unsigned long long>(failures));
    return failures == 0 && compared > 0 ? 0 : 1;
}

} // namespace

int main(int argc, char** argv)
{
    if (argc < 4) {
        std::fprintf(stderr, "usage: nccl_oracle <rank> <ranks> <file for the id> [scenarios]\n");
        return 2;
    }
    if (sdp::cuda::device_count() == 0) {
        std::puts("skipped: there is no CUDA device");
        return 0;
    }
    try {
        return run(std::atoi(argv[1]), std::atoi(argv[2]), argv[3], argc > 4 ? std::strtoull(argv[4], nullptr, 10) : 20);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "nccl_oracle: %s\n", e.what());
        return 1;
    }
}
