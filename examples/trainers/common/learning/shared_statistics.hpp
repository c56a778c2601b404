// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Averages statistics that belong to units and are not trained over all workers.

#include "common/model/partition.hpp"
#include "common/model/task.hpp"
#include "common/model/weights.hpp"

#include <sdp/adapters/torch.hpp>
#include <sdp/data_parallel.hpp>

namespace trainer {

/// Statistics of the units, such as a batch norm's: each worker keeps those of what it stores; for an evaluation they are
/// averaged over the workers that train the unit.
template <class Communicator> class shared_statistics {
public:
    shared_statistics(const task& t, const sdp::assignment& holders, chosen_masking masking, Communicator& comm)
        : task_(t)
        , net_(*t.statistics(), known_assignment {&holders}, masking, comm, {.local = {.layout = sdp::value_layout::split}})
    {
    }
    [[nodiscard]] const sdp::subnetwork& subnetwork() const noexcept { return net_.subnetwork(); }

    void bind(const weights& mine)
    {
        mine_ = &mine;
        for (std::size_t p = 0; p < mine.size(); ++p)
            for (std::size_t i = 0; i < mine[p].size(); ++i)
                net_.bind(sdp::parameter_id(p), mine[p][i].value, i);
    }

    /// Collective. The statistics of the full model at one worker, nothing elsewhere.
    weights assemble(int root)
    {
        // The synchronizer averages the values themselves in place of gradients.
        for (std::size_t p = mine_->size(); p-- > 0;)
            if (const auto& parts = (*mine_)[p]; !parts.empty() && parts.front().trained)
                net_.ready(sdp::parameter_id(p), parts.front().value);
        net_.finish();
        auto full = net_.rank() == root ? make_full_weights(*task_.statistics()) : weights();
        for (std::size_t p = 0; p < mine_->size(); ++p)
            net_.assemble(sdp::parameter_id(p), root, net_.rank() == root ? full[p].front().value : at::Tensor());
        return full;
    }

private:
    const task& task_;
    const weights* mine_ = nullptr;
    sdp::data_parallel<known_assignment, chosen_masking, Communicator> net_;
};

} // namespace trainer
