// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "backends.hpp"
#include "ours.hpp"

#include <sdp/comm/threads.hpp>

#include <atomic>
#include <barrier>

namespace overlap_bench {
namespace {

    /// The dense sum of one process: each thread sums its stretch of all buffers and writes it back to all of them.
    class dense_sum {
    public:
        dense_sum(int workers, std::size_t elements)
            : buffers_(static_cast<std::size_t>(workers), std::vector<float>(elements))
            , barrier_(workers)
        {
        }

        void prepare(int rank)
        {
            auto& mine = buffers_[static_cast<std::size_t>(rank)];
            for (std::size_t i = 0; i < mine.size(); ++i)
                mine[i] = gradient_of(rank, static_cast<sdp::index_t>(i));
        }

        void run(int rank)
        {
            barrier_.arrive_and_wait();
            const std::size_t n = buffers_.size(), size = buffers_[0].size();
            const std::size_t begin = size * static_cast<std::size_t>(rank) / n,
                              end = size * static_cast<std::size_t>(rank + 1) / n;
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

        [[nodiscard]] std::uint64_t wrong(int rank) const
        {
            std::uint64_t out = 0;
            const auto& mine = buffers_[static_cast<std::size_t>(rank)];
            for (std::size_t i = 0; i < mine.size(); ++i) {
                float sum = 0;
                for (int r = 0; r < static_cast<int>(buffers_.size()); ++r)
                    sum += gradient_of(r, static_cast<sdp::index_t>(i));
                out += mine[i] != sum / static_cast<float>(buffers_.size()) ? 1 : 0;
            }
            return out;
        }

    private:
        std::vector<std::vector<float>> buffers_;
        std::barrier<> barrier_;
    };

} // namespace

void run_threads(const options& o)
{
    print_header();
    for_each_setting(o, o.workers, [&](std::size_t bytes, std::size_t run_bytes, int holders) {
        const auto sets = scattered_partition::subsets(o.workers, holders).size();
        const auto model = scattered_model(bytes, run_bytes, sets);
        const auto elements = static_cast<std::size_t>(model.size());
        dense_sum dense(o.workers, elements);
        std::barrier barrier(o.workers);
        std::vector<double> reported(static_cast<std::size_t>(o.workers));
        sdp::run_workers(o.workers, [&](sdp::thread_communicator comm) {
            const int rank = comm.rank();
            coordinator all;
            all.root = rank == 0;
            all.barrier = [&] { barrier.arrive_and_wait(); };
            all.maximum = [&, rank](double value) {
                reported[static_cast<std::size_t>(rank)] = value;
                barrier.arrive_and_wait();
                const double out = *std::max_element(reported.begin(), reported.end());
                barrier.arrive_and_wait();
                return out;
            };
            our_exchange ours(model, holders, comm);
            std::vector<contender> contenders;
            contenders.push_back({"dense", [&, rank] { dense.prepare(rank); }, [&, rank] { dense.run(rank); },
                [&, rank] { return dense.wrong(rank); }, 0, 0});
            contenders.push_back(ours.as_contender(holders == 2 ? "swap" : "two-sided"));
            contenders.push_back(copy_contender(static_cast<std::size_t>(ours.held_bytes())));
            row setting {
                "threads", "", o.workers, holders, elements * sizeof(float), run_bytes, {}, 0, ours.held_bytes(), 0, 0, 0};
            report(o, measure(o, setting, contenders, all), all);
        });
    });
}

} // namespace overlap_bench
