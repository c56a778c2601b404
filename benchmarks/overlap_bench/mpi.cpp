// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "../common/mpi_crew.hpp"
#include "backends.hpp"
#include "ours.hpp"

#include <sdp/comm/mpi.hpp>

#include <boost/mpi/environment.hpp>

#include <map>
#include <numeric>

namespace overlap_bench {
namespace {

    /// Every worker's gradients of everything, to be summed in place, and the check.
    [[nodiscard]] bench::contender sum_of_everything(MPI_Comm comm, std::span<float> data)
    {
        int rank = 0, size = 1;
        MPI_Comm_rank(comm, &rank);
        MPI_Comm_size(comm, &size);
        std::vector<int> everybody(static_cast<std::size_t>(size));
        std::iota(everybody.begin(), everybody.end(), 0);
        bench::contender out;
        out.prepare = [=] {
            for (std::size_t i = 0; i < data.size(); ++i)
                data[i] = gradient_of(rank, static_cast<sdp::index_t>(i));
        };
        out.check = [data, sum = summed_gradients(everybody)] {
            std::uint64_t wrong = 0;
            for (std::size_t i = 0; i < data.size(); ++i)
                wrong += data[i] != sum(static_cast<sdp::index_t>(i)) ? 1 : 0;
            return wrong;
        };
        return out;
    }

    /// The exchange of data parallelism: one all-reduce of everything, in place.
    [[nodiscard]] bench::contender dense_contender(MPI_Comm comm, std::span<float> data)
    {
        auto out = sum_of_everything(comm, data);
        out.name = "dense";
        out.run = bench::timed(
            [=] { MPI_Allreduce(MPI_IN_PLACE, data.data(), static_cast<int>(data.size()), MPI_FLOAT, MPI_SUM, comm); });
        return out;
    }

    /// A communicator per holder set and one all-reduce on each: what a user would write. Its buffers are contiguous, so it
    /// is spared the packing, and it leaves sums instead of means.
    class group_collectives {
    public:
        group_collectives(MPI_Comm world, const std::map<std::vector<int>, std::size_t>& shared, std::span<float> arena)
        {
            MPI_Comm_rank(world, &rank_);
            MPI_Group everybody;
            MPI_Comm_group(world, &everybody);
            std::size_t begin = 0;
            for (const auto& [ranks, elements] : shared) { // in the same order on all workers
                std::size_t tag = 0;
                for (const int rank : ranks)
                    tag = (tag * 31 + static_cast<std::size_t>(rank) + 1) % 32749;
                MPI_Group group;
                MPI_Group_incl(everybody, static_cast<int>(ranks.size()), ranks.data(), &group);
                auto& s = sets_.emplace_back(set {MPI_COMM_NULL, ranks, arena.subspan(begin, elements)});
                MPI_Comm_create_group(world, group, static_cast<int>(tag), &s.comm);
                MPI_Group_free(&group);
                begin += elements;
            }
            MPI_Group_free(&everybody);
            requests_.resize(sets_.size());
        }
        group_collectives(const group_collectives&) = delete;
        group_collectives& operator=(const group_collectives&) = delete;
        ~group_collectives()
        {
            for (auto& s : sets_)
                MPI_Comm_free(&s.comm);
        }

        [[nodiscard]] bench::contender as_contender(bool nonblocking)
        {
            bench::contender out;
            out.name = nonblocking ? "iallreduce" : "allreduce";
            out.prepare = [this] {
                for (const auto& s : sets_)
                    for (std::size_t i = 0; i < s.elements.size(); ++i)
                        s.elements[i] = gradient_of(rank_, static_cast<sdp::index_t>(i));
            };
            out.run = bench::timed([this, nonblocking] {
                for (std::size_t i = 0; i < sets_.size(); ++i) {
                    float* const data = sets_[i].elements.data();
                    const int count = static_cast<int>(sets_[i].elements.size());
                    if (nonblocking)
                        MPI_Iallreduce(MPI_IN_PLACE, data, count, MPI_FLOAT, MPI_SUM, sets_[i].comm, &requests_[i]);
                    else
                        MPI_Allreduce(MPI_IN_PLACE, data, count, MPI_FLOAT, MPI_SUM, sets_[i].comm);
                }
                if (nonblocking)
                    MPI_Waitall(static_cast<int>(requests_.size()), requests_.data(), MPI_STATUSES_IGNORE);
            });
            out.check = [this] {
                std::uint64_t wrong = 0;
                for (const auto& s : sets_) {
                    const summed_gradients sum(s.ranks);
                    for (std::size_t i = 0; i < s.elements.size(); ++i)
                        wrong += s.elements[i] != sum(static_cast<sdp::index_t>(i)) ? 1 : 0;
                }
                return wrong;
            };
            return out;
        }

    private:
        struct set {
            MPI_Comm comm;
            std::vector<int> ranks;
            std::span<float> elements;
        };
        std::vector<set> sets_;
        std::vector<MPI_Request> requests_;
        int rank_ = 0;
    };

    [[nodiscard]] std::vector<std::vector<char>> gather(MPI_Comm comm, const std::vector<char>& mine)
    {
        int size = 1;
        MPI_Comm_size(comm, &size);
        std::vector<int> sizes(static_cast<std::size_t>(size)), offsets(sizes.size());
        const int count = static_cast<int>(mine.size());
        MPI_Allgather(&count, 1, MPI_INT, sizes.data(), 1, MPI_INT, comm);
        std::exclusive_scan(sizes.begin(), sizes.end(), offsets.begin(), 0);
        std::vector<char> all(static_cast<std::size_t>(offsets.back() + sizes.back()));
        MPI_Allgatherv(mine.data(), count, MPI_CHAR, all.data(), sizes.data(), offsets.data(), MPI_CHAR, comm);
        std::vector<std::vector<char>> out;
        for (std::size_t r = 0; r < sizes.size(); ++r)
            out.emplace_back(all.begin() + offsets[r], all.begin() + offsets[r] + sizes[r]);
        return out;
    }

    [[nodiscard]] bench::results measure(const options& o, const planned_layout& planned, const boost::mpi::communicator& world,
        const sdp::mpi_communicator& comm, gloo_workers* gloo, const bench::selection& chosen, int rounds)
    {
        const auto all = bench::coordinator_of(world);
        const auto l = planned.make();
        std::vector<float> memory(arena_elements(l));
        const std::span<float> arena(memory), everything = arena.first(l.elements());
        our_contenders<sdp::mpi_communicator> ours(o, planned, l, chosen, comm, arena);
        group_collectives groups(world, ours.shared(), arena);
        std::vector<bench::contender> contenders;
        if (chosen.has("dense"))
            contenders.push_back(dense_contender(world, everything));
        ours.add_to(contenders, chosen, all);
        for (const bool nonblocking : {true, false})
            if (auto c = groups.as_contender(nonblocking); chosen.has(c.name))
                contenders.push_back(std::move(c));
        if (chosen.has("gloo")) {
            const auto what = sum_of_everything(world, everything);
            auto& c = contenders.emplace_back(gloo->fastest(everything, all));
            c.prepare = what.prepare;
            c.check = what.check;
        }
        if (chosen.has("memcpy"))
            contenders.push_back(copy_contender(static_cast<std::size_t>(ours.held_bytes()), arena));
        return measure_setting(l, ours, contenders, rounds, world.size(), all);
    }

} // namespace

int run_mpi(const options& o, bench::program& p)
{
    const boost::mpi::environment environment;
    const boost::mpi::communicator world;
    const sdp::mpi_communicator comm(world);
    std::unique_ptr<gloo_workers> gloo; // connected once a setting asks for it
    for (const auto& planned : planned_layouts(o, world.size())) {
        std::vector<std::string> names {"dense"};
        for (const auto& route : our_routes<sdp::mpi_communicator>(planned, world.size()))
            names.emplace_back(route.name);
        names.insert(names.end(), {"iallreduce", "allreduce"});
        if (gloo_built())
            names.emplace_back("gloo");
        names.emplace_back("memcpy");
        p.add({"mpi/" + planned.name, names, [=, &o, &gloo](const auto& chosen, int rounds) {
                   if (chosen.has("gloo") && !gloo)
                       gloo = connect_gloo(
                           world.rank(), world.size(), [&](const std::vector<char>& mine) { return gather(world, mine); });
                   return measure(o, planned, world, comm, gloo.get(), chosen, rounds);
               }});
    }
    const int status = bench::run_program(p, world);
    MPI_Barrier(world); // before anybody closes gloo's connections
    return status;
}

} // namespace overlap_bench
