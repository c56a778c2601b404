// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief The oracle's scenarios over MPI: each rank compares itself with the dense simulation, and all results are the same
/// bits as on threads.
///
/// `SDP_ORACLE_MPI_CASES` sets how many scenarios run.

#include "run_scenario.hpp"
#include "support/mpi_main.hpp"

#include <sdp/comm/mpi.hpp>

#include <boost/mpi/collectives.hpp>
#include <boost/mpi/communicator.hpp>

#include <exception>
#include <iostream>
#include <string>
#include <vector>

namespace {

namespace mpi = boost::mpi;

/// Runs on the ranks of `workers`; the failures of this rank, which on rank 0 include differences from threads.
std::vector<std::string> run(
    const oracle::scenario& s, const mpi::communicator& workers, sdp::mpi_options options, oracle::tally& seen)
{
    const oracle::expectation expected(s);
    if (!expected.sets.untrained().empty())
        return {};
    ++seen.ran;
    const auto mine = oracle::run_worker(s, expected, sdp::mpi_communicator(workers, options));
    seen.compared += mine.compared;
    auto failures = mine.failures;

    std::vector<std::uint64_t> bits;
    mpi::gather(workers, mine.bits, bits, 0);
    if (workers.rank() == 0) {
        auto other_way = s;
        other_way.options.route = s.options.route == sdp::route_choice::two_sided ? s.options.route : sdp::route_choice::fastest;
        const auto threads = oracle::outcomes_on_threads(other_way, expected);
        for (std::size_t rank = 0; rank < threads.size(); ++rank)
            if (bits[rank] != threads[rank].bits)
                failures.push_back("the results of rank " + std::to_string(rank) + " have other bits than on threads");
    }
    return failures;
}

} // namespace

TEST_CASE("random scenarios over MPI equal the dense simulation, and threads bit for bit")
{
    const mpi::communicator all;
    const auto cases = oracle::from_environment("SDP_ORACLE_MPI_CASES", 60);
    oracle::tally seen;
    for (std::uint64_t i = 1; i <= cases; ++i) {
        // Every other scenario uses all ranks, the others a part of them.
        const std::uint64_t seed = 1'000'000 * static_cast<std::uint64_t>(all.size()) + i;
        const int world
            = i % 2 == 0 ? all.size() : 1 + static_cast<int>(oracle::mix(seed) % static_cast<std::uint64_t>(all.size()));
        const auto workers = all.split(all.rank() < world ? 0 : 1);
        if (all.rank() >= world)
            continue;
        auto s = oracle::random_scenario(seed, world);
        // Nodes of up to 1, 2 or 3 ranks make messages and windows take turns within one step.
        const sdp::mpi_options options {.node_ranks = static_cast<int>(i % 4)};
        s.several_nodes = options.node_ranks > 1;
        INFO(s.describe());
        try {
            for (const auto& failure : run(s, workers, options, seen))
                FAIL_CHECK(failure);
        } catch (const std::exception& e) {
            // The other ranks wait for messages that will not come, and nobody could tell them.
            std::cerr << "rank " << all.rank() << ", " << s.describe() << ": " << e.what() << '\n';
            mpi::environment::abort(1);
        }
    }
    // Rank 0 takes part in every scenario; some are refused because nobody would train an element.
    if (all.rank() == 0) {
        MESSAGE(seen.ran << " scenarios ran, rank 0 compared " << seen.compared << " numbers");
        CHECK(seen.ran >= cases / 2);
        CHECK(seen.compared > 0);
    }
}
