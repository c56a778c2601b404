// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief The last rank of an NCCL group dies; all others have to say so in time: `nccl_lost_rank <rank> <ranks> <file for the
/// id> <exchanges before> [blocking]`.

#include "meet.hpp"

#include <sdp/comm/nccl.hpp>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr auto limit = std::chrono::seconds(5);

int run(int rank, int size, const std::string& file, int before, bool blocking)
{
    const int lost = size - 1;
    auto comm = sdp::nccl_communicator::create(
        support::meet(rank, file), rank, size, nullptr, {.timeout = limit, .blocking = blocking});
    const auto exchange = [&](int peer) { // of a number each
        int own = rank, other = -1;
        const std::array<sdp::outgoing, 1> out {{{peer, &own, sizeof own}}};
        const std::array<sdp::incoming, 1> in {{{peer, &other, sizeof other}}};
        comm.exchange(0, out, in).wait(limit);
        return other == peer;
    };
    for (int i = 0; i < before; ++i)
        for (int peer = 0; peer < size; ++peer)
            if (peer != rank && (rank == lost || peer == lost) && !exchange(peer))
                return 1;
    std::this_thread::sleep_for(std::chrono::seconds(1)); // until the others have their communicator
    if (rank == lost) {
        std::fflush(nullptr);
        std::_Exit(0); // without a word to anybody
    }
    std::this_thread::sleep_for(std::chrono::seconds(1));
    const auto begin = std::chrono::steady_clock::now();
    try {
        static_cast<void>(exchange(lost));
    } catch (const sdp::peer_error& e) {
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
        const bool named = std::string(e.what()).find("rank " + std::to_string(lost)) != std::string::npos;
        std::printf("rank %d, after %.2f s: %s\n", rank, took.count(), e.what());
        return named && comm.aborted() && took < 2 * limit ? 0 : 1;
    }
    std::fprintf(stderr, "rank %d: an exchange with a rank that is gone has ended well\n", rank);
    return 1;
}

} // namespace

int main(int argc, char** argv)
{
    return support::run_rank(argc, 4, "nccl_lost_rank <rank> <ranks> <file for the id> <exchanges before> [blocking]",
        [&] { return run(std::atoi(argv[1]), std::atoi(argv[2]), argv[3], std::atoi(argv[4]), argc > 5); });
}
