// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "../common/thread_meeting.hpp"
#include "backends.hpp"
#include "ours.hpp"

#include <sdp/comm/threads.hpp>

#include <algorithm>
#include <barrier>
#include <numeric>

namespace overlap_bench {
namespace {

    /// The dense sum of one process: each thread sums its stretch of all buffers and writes it back to all of them.
    class dense_sum {
    public:
        dense_sum(std::vector<std::span<float>> buffers, std::size_t elements)
            : buffers_(std::move(buffers))
            , everybody_(buffers_.size())
            , barrier_(static_cast<std::ptrdiff_t>(buffers_.size()))
        {
            std::iota(everybody_.begin(), everybody_.end(), 0);
            for (auto& buffer : buffers_)
                buffer = buffer.first(elements);
        }

        [[nodiscard]] bench::contender as_contender(int rank)
        {
            const auto mine = buffers_[static_cast<std::size_t>(rank)];
            bench::contender out;
            out.name = "dense";
            out.prepare = [=] {
                for (std::size_t i = 0; i < mine.size(); ++i)
                    mine[i] = gradient_of(rank, static_cast<sdp::index_t>(i));
            };
            out.run = bench::timed([this, rank] { run(static_cast<std::size_t>(rank)); });
            out.check = [mine, workers = buffers_.size(), sum = summed_gradients(everybody_)] {
                std::uint64_t wrong = 0;
                for (std::size_t i = 0; i < mine.size(); ++i)
                    wrong += mine[i] != sum(static_cast<sdp::index_t>(i)) / static_cast<float>(workers) ? 1 : 0;
                return wrong;
            };
            return out;
        }

    private:
        void run(std::size_t rank)
        {
            barrier_.arrive_and_wait();
            const std::size_t n = buffers_.size(), size = buffers_[0].size();
            const std::size_t begin = size * rank / n, end = size * (rank + 1) / n;
            constexpr std::size_t tile = 1024;
            float sum[tile];
            for (std::size_t at = begin; at < end; at += tile) {
                const std::size_t count = std::min(tile, end - at);
                std::copy_n(buffers_[0].data() + at, count, sum);
                for (std::size_t b = 1; b < n; ++b)
                    for (std::size_t i = 0; i < count; ++i)
                        sum[i] += buffers_[b][at + i];
                for (std::size_t i = 0; i < count; ++i)
                    sum[i] /= static_cast<float>(n);
                for (auto& buffer : buffers_)
                    std::copy_n(sum, count, buffer.data() + at);
            }
            barrier_.arrive_and_wait();
        }

        std::vector<std::span<float>> buffers_;
        std::vector<int> everybody_;
        std::barrier<> barrier_;
    };

    [[nodiscard]] bench::results measure(
        const options& o, const planned_layout& planned, const bench::selection& chosen, int rounds)
    {
        const auto l = planned.make();
        std::vector<std::vector<float>> arenas(static_cast<std::size_t>(o.workers), std::vector<float>(arena_elements(l)));
        dense_sum dense({arenas.begin(), arenas.end()}, l.elements());
        bench::thread_meeting meeting(o.workers);
        bench::results out;
        sdp::run_workers(o.workers, [&](sdp::thread_communicator comm) {
            const int rank = comm.rank();
            const auto all = meeting.of(rank);
            const std::span<float> arena(arenas[static_cast<std::size_t>(rank)]);
            our_contenders<sdp::thread_communicator> ours(o, planned, l, chosen, comm, arena);
            std::vector<bench::contender> contenders;
            if (chosen.has("dense"))
                contenders.push_back(dense.as_contender(rank));
            ours.add_to(contenders, chosen, all);
            if (chosen.has("memcpy"))
                contenders.push_back(copy_contender(static_cast<std::size_t>(ours.held_bytes()), arena));
            auto mine = measure_setting(l, ours, contenders, rounds, o.workers, all);
            if (rank == 0)
                out = std::move(mine);
        });
        return out;
    }

} // namespace

int run_threads(const options& o, bench::program& p)
{
    for (const auto& planned : planned_layouts(o, o.workers)) {
        std::vector<std::string> names {"dense"};
        for (const auto& route : our_routes<sdp::thread_communicator>(planned, o.workers))
            names.emplace_back(route.name);
        names.emplace_back("memcpy");
        p.add({"threads/" + planned.name, names,
            [=, &o](const auto& chosen, int rounds) { return measure(o, planned, chosen, rounds); }});
    }
    return p.lead();
}

} // namespace overlap_bench
