// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief One rank of an NCCL group that runs the oracle's scenarios, and a captured step: `nccl_oracle <rank> <ranks> <file for
/// the id> [scenarios] [blocking]`.

#include "meet.hpp"

#include <cuda/captured_step.hpp>
#include <cuda/managed_tensors.hpp>
#include <oracle/run_scenario.hpp>

#include <sdp/comm/nccl.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

int run(int rank, int size, const std::string& file, std::uint64_t scenarios, bool blocking)
{
    auto comm = sdp::nccl_communicator::create(
        support::meet(rank, file), rank, size, nullptr, {.timeout = std::chrono::seconds(30), .blocking = blocking});
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
        s.options.local.timeout = std::chrono::seconds(30);
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
    return support::run_rank(argc, 3, "nccl_oracle <rank> <ranks> <file for the id> [scenarios] [blocking]", [&] {
        return run(
            std::atoi(argv[1]), std::atoi(argv[2]), argv[3], argc > 4 ? std::strtoull(argv[4], nullptr, 10) : 20, argc > 5);
    });
}
