// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The library's exchange as a contender, on any communicator, with every element of its result checked.

#include "layout.hpp"
#include "measure.hpp"

#include <cstdint>
#include <memory>
#include <vector>

namespace overlap_bench {

/// A gradient that every worker can compute of every other: small whole numbers, so that sums are exact.
[[nodiscard]] inline float gradient_of(int rank, sdp::index_t element)
{
    return static_cast<float>((element * 7 + rank * 31) % 61);
}

template <sdp::communicator C> class our_exchange {
public:
    our_exchange(const sdp::model& m, int holders, C comm)
        : net_(m, scattered_partition {holders}, sdp::forward_masking {}, comm)
        , gradient_(static_cast<std::size_t>(net_.subnetwork().stored_elements()))
        , expected_(gradient_.size())
    {
        const auto& slab = net_.subnetwork().slabs(sdp::parameter_id(0)).front();
        const auto sets = scattered_partition::subsets(comm.size(), holders);
        const sdp::index_t columns = m.parameters()[0].shape[1], run = columns / m.groups()[0].neurons;
        sdp::initialize(expected_, slab, [&](sdp::index_t element) {
            const auto holders_of = sets[static_cast<std::size_t>(element % columns / run) % sets.size()].ranks();
            float sum = 0;
            for (const int rank : holders_of)
                sum += gradient_of(rank, element);
            return sum / static_cast<float>(holders_of.size());
        });
        net_.bind_gradient(sdp::parameter_id(0), gradient_);
    }

    [[nodiscard]] double held_bytes() const { return static_cast<double>(gradient_.size() * sizeof(float)); }

    [[nodiscard]] contender as_contender(std::string route)
    {
        contender out;
        out.route = std::move(route);
        out.prepare = [this] {
            const auto& slab = net_.subnetwork().slabs(sdp::parameter_id(0)).front();
            sdp::initialize(gradient_, slab, [&](sdp::index_t element) { return gradient_of(net_.rank(), element); });
        };
        out.run = [this] { net_.synchronize(); };
        out.check = [this] {
            std::uint64_t wrong = 0;
            for (std::size_t i = 0; i < gradient_.size(); ++i)
                wrong += gradient_[i] != expected_[i] ? 1 : 0;
            return wrong;
        };
        // One step outside of the measurement tells what a step sends.
        out.prepare();
        net_.synchronize();
        out.bytes_sent = net_.step_traffic().bytes();
        out.bytes_bound = sdp::bytes_per_step(net_.description(), net_.residents(), net_.rank());
        return out;
    }

private:
    sdp::data_parallel<scattered_partition, sdp::forward_masking, C> net_;
    std::vector<float> gradient_, expected_;
};

/// What copying the held bytes once costs: the floor of anything that packs.
[[nodiscard]] inline contender copy_contender(std::size_t bytes)
{
    auto from = std::make_shared<std::vector<char>>(bytes, 'x');
    auto to = std::make_shared<std::vector<char>>(bytes, ' ');
    return {"memcpy", [to] { std::fill(to->begin(), to->end(), ' '); },
        [from, to] { std::copy(from->begin(), from->end(), to->begin()); },
        [to] { return static_cast<std::uint64_t>(to->back() == 'x' ? 0 : 1); }, 0, 0};
}

} // namespace overlap_bench
