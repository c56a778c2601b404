// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "training.hpp"

#include <sdp/comm/threads.hpp>
#include <sdp/data_parallel.hpp>
#include <sdp/masking/forward.hpp>
#include <sdp/model.hpp>
#include <sdp/partition/neuron.hpp>

#include <cstddef>
#include <vector>

namespace {

double mean_of(sdp::thread_communicator comm, double coverage)
{
    sdp::model m;
    const auto group = m.add_group("neurons", 4);
    const auto weight = m.add_parameter("weight", {4, 3}, {.axes = {{0, group}}});
    const auto bias = m.add_parameter("bias", {5}, {});
    sdp::data_parallel net(m, sdp::neuron_partition {.coverage = coverage}, sdp::forward_masking {}, comm);

    const auto rows = static_cast<std::size_t>(net.subnetwork().shape(weight)[0]);
    std::vector<float> weight_gradient(rows * 3, 1.0F), bias_gradient(5, static_cast<float>(net.rank() + 1));
    net.ready(weight, weight_gradient);
    net.ready(bias, bias_gradient);
    net.finish();
    return static_cast<double>(bias_gradient[0]);
}

} // namespace

double train(double coverage)
{
    double mean = 0;
    sdp::run_workers(2, [&](sdp::thread_communicator comm) {
        const double found = mean_of(comm, coverage);
        if (comm.rank() == 0)
            mean = found;
    });
    return mean;
}

void train_with_ranks_that_differ()
{
    sdp::run_workers(2, [&](sdp::thread_communicator comm) { mean_of(comm, comm.rank() == 0 ? 0.5 : 1.0); });
}
