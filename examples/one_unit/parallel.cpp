// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "parallel.hpp"

#include <sdp/sdp.hpp>

#include <cstddef>
#include <string>
#include <utility>

namespace {

// [choose]
using synchronizer = sdp::synchronizer<sdp::thread_communicator>;

/// One type for all choices: it depends on the communicator alone.
std::unique_ptr<synchronizer> choose(
    const sdp::model& m, const parallel_training::choices& c, const sdp::thread_communicator& comm)
{
    const auto masked = [&](const auto& policy) {
        return c.backward ? sdp::make_synchronizer(m, policy, sdp::backward_masking {}, comm)
                          : sdp::make_synchronizer(m, policy, sdp::forward_masking {}, comm);
    };
    switch (c.by) {
    case split::neurons:
        return masked(sdp::neuron_partition {.holders = c.holders});
    case split::blocks:
        return masked(sdp::block_partition {.holders = c.holders});
    case split::nothing:
        break;
    }
    return masked(sdp::pinned {});
}
// [choose]

sdp::model describe()
{
    sdp::model m;
    m.add_parameter("embedding", {16, 8});
    for (const auto* const layer : {"first", "second"}) {
        const std::string name = layer;
        const auto block = m.add_block(name);
        const auto hidden = m.add_group(name + ".hidden", 12);
        m.add_parameter(name + ".gate_up", {24, 8}, {.within = block, .axes = {rows(hidden, {1, 1})}});
        m.add_parameter(name + ".down", {8, 12}, {.within = block, .axes = {columns(hidden)}});
    }
    return m;
}

} // namespace

// [member]
struct parallel_training::parts {
    std::unique_ptr<synchronizer> net; // moves with its owner; nothing that refers to it has to be told
    std::vector<std::vector<float>> gradients;
};

parallel_training::parallel_training(const choices& c, const sdp::thread_communicator& comm)
    : parts_(std::make_unique<parts>())
{
    parts_->net = choose(describe(), c, comm);
    const auto& mine = parts_->net->subnetwork();
    for (std::size_t p = 0; p < parts_->net->model().parameters().size(); ++p) {
        const auto id = sdp::parameter_id(p);
        parts_->gradients.emplace_back(mine.trains(id) ? static_cast<std::size_t>(mine.shape(id).product()) : 0);
        if (mine.trains(id))
            parts_->net->bind_gradient(id, parts_->gradients.back());
    }
}

parallel_training::~parallel_training() = default;
parallel_training::parallel_training(parallel_training&&) noexcept = default;
parallel_training& parallel_training::operator=(parallel_training&&) noexcept = default;

void parallel_training::average_gradients()
{
    parts_->net->synchronize();
}
// [member]

std::vector<std::vector<float>>& parallel_training::gradients()
{
    return parts_->gradients;
}

double parallel_training::sum(double x)
{
    return parts_->net->sum(x);
}
