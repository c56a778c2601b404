// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "backends.hpp"
#include "ours.hpp"

#include <sdp/comm/mpi.hpp>

#include <boost/mpi/environment.hpp>

namespace overlap_bench {
namespace {

    /// What data parallelism does: one all-reduce of everything, in place.
    [[nodiscard]] contender dense_contender(MPI_Comm comm, std::size_t elements)
    {
        int rank = 0, size = 1;
        MPI_Comm_rank(comm, &rank);
        MPI_Comm_size(comm, &size);
        auto data = std::make_shared<std::vector<float>>(elements);
        contender out;
        out.route = "dense";
        out.prepare = [=] {
            for (std::size_t i = 0; i < elements; ++i)
                (*data)[i] = gradient_of(rank, static_cast<sdp::index_t>(i));
        };
        out.run = [=] { MPI_Allreduce(MPI_IN_PLACE, data->data(), static_cast<int>(elements), MPI_FLOAT, MPI_SUM, comm); };
        out.check = [=] {
            std::uint64_t wrong = 0;
            for (std::size_t i = 0; i < elements; ++i) {
                float sum = 0;
                for (int r = 0; r < size; ++r)
                    sum += gradient_of(r, static_cast<sdp::index_t>(i));
                wrong += (*data)[i] != sum ? 1 : 0;
            }
            return wrong;
        };
        return out;
    }

    /// A communicator per holder set and one all-reduce on each: what a user would write. Its buffers are contiguous, so it
    /// is spared the packing.
    class group_collectives {
    public:
        group_collectives(MPI_Comm world, int holders, std::size_t elements)
        {
            int rank = 0, size = 1;
            MPI_Comm_rank(world, &rank);
            MPI_Comm_size(world, &size);
            MPI_Group everybody;
            MPI_Comm_group(world, &everybody);
            const auto sets = scattered_partition::subsets(size, holders);
            for (std::size_t s = 0; s < sets.size(); ++s) {
                if (!sets[s].contains(rank))
                    continue;
                const auto ranks = sets[s].ranks();
                MPI_Group group;
                MPI_Group_incl(everybody, static_cast<int>(ranks.size()), ranks.data(), &group);
                MPI_Comm comm;
                MPI_Comm_create_group(world, group, static_cast<int>(s), &comm);
                MPI_Group_free(&group);
                comms_.push_back(comm);
                buffers_.emplace_back(elements / sets.size());
                expected_.push_back(0);
                for (const int r : ranks)
                    expected_.back() += static_cast<float>(r + 1);
            }
            MPI_Group_free(&everybody);
            rank_ = rank;
        }
        group_collectives(const group_collectives&) = delete;
        ~group_collectives()
        {
            for (auto& comm : comms_)
                MPI_Comm_free(&comm);
        }

        [[nodiscard]] contender as_contender(bool nonblocking)
        {
            contender out;
            out.route = nonblocking ? "iallreduce" : "allreduce";
            out.prepare = [this] {
                for (auto& buffer : buffers_)
                    std::fill(buffer.begin(), buffer.end(), static_cast<float>(rank_ + 1));
            };
            out.run = [this, nonblocking] {
                std::vector<MPI_Request> requests(comms_.size());
                for (std::size_t i = 0; i < comms_.size(); ++i) {
                    const int count = static_cast<int>(buffers_[i].size());
                    if (nonblocking)
                        MPI_Iallreduce(MPI_IN_PLACE, buffers_[i].data(), count, MPI_FLOAT, MPI_SUM, comms_[i], &requests[i]);
                    else
                        MPI_Allreduce(MPI_IN_PLACE, buffers_[i].data(), count, MPI_FLOAT, MPI_SUM, comms_[i]);
                }
                if (nonblocking)
                    MPI_Waitall(static_cast<int>(requests.size()), requests.data(), MPI_STATUSES_IGNORE);
            };
            out.check = [this] {
                std::uint64_t wrong = 0;
                for (std::size_t i = 0; i < buffers_.size(); ++i)
                    for (const float value : buffers_[i])
                        wrong += value != expected_[i] ? 1 : 0;
                return wrong;
            };
            return out;
        }

    private:
        std::vector<MPI_Comm> comms_;
        std::vector<std::vector<float>> buffers_;
        std::vector<float> expected_;
        int rank_ = 0;
    };

} // namespace

void run_mpi(const options& o, int argc, char** argv)
{
    const boost::mpi::environment environment(argc, argv);
    const boost::mpi::communicator world;
    coordinator all;
    all.root = world.rank() == 0;
    all.barrier = [&] { MPI_Barrier(world); };
    all.maximum = [&](double value) {
        MPI_Allreduce(MPI_IN_PLACE, &value, 1, MPI_DOUBLE, MPI_MAX, world);
        return value;
    };
    if (all.root)
        print_header();
    const sdp::mpi_communicator comm(world);
    for_each_setting(o, world.size(), [&](std::size_t bytes, std::size_t run_bytes, int holders) {
        const auto sets = scattered_partition::subsets(world.size(), holders).size();
        const auto model = scattered_model(bytes, run_bytes, sets);
        const auto elements = static_cast<std::size_t>(model.size());
        our_exchange ours(model, holders, comm);
        group_collectives groups(world, holders, elements);
        std::vector<contender> contenders;
        contenders.push_back(dense_contender(world, elements));
        contenders.push_back(ours.as_contender(holders == 2 ? "swap" : "two-sided"));
        contenders.push_back(groups.as_contender(true));
        contenders.push_back(groups.as_contender(false));
        contenders.push_back(copy_contender(static_cast<std::size_t>(ours.held_bytes())));
        row setting {"mpi", "", world.size(), holders, elements * sizeof(float), run_bytes, {}, 0, ours.held_bytes(), 0, 0, 0};
        report(o, measure(o, setting, contenders, all), all);
    });
}

} // namespace overlap_bench
