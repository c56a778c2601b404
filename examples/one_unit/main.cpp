// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief A program in which one translation unit includes the synchronizer, and policy and regime are chosen at run time.

#include "parallel.hpp"

#include <sdp/comm/threads.hpp>

#include <cmath>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

void expect(bool holds, const std::string& what)
{
    if (!holds)
        throw std::runtime_error("this does not hold: " + what);
}

double total(const std::vector<std::vector<float>>& tensors)
{
    double out = 0;
    for (const auto& tensor : tensors)
        for (const float x : tensor)
            out += static_cast<double>(x);
    return out;
}

/// Each worker's gradient is its rank plus one. The mean over the holders of an element keeps their sum, and so the sum of all
/// gradients; and no gradient of a rank is left.
void train(const parallel_training::choices& c, const sdp::thread_communicator& comm)
{
    parallel_training first(c, comm);
    parallel_training training = std::move(first);
    for (auto& gradient : training.gradients())
        gradient.assign(gradient.size(), static_cast<float>(comm.rank() + 1));
    const double before = training.sum(total(training.gradients()));
    training.average_gradients();
    const double after = training.sum(total(training.gradients()));
    // Under backward masking the tensors have all elements, and of those only the trained ones are averaged.
    expect(c.backward || std::abs(after - before) < 1e-3, "means keep the sum of the gradients");
    if (c.by == split::nothing)
        for (const auto& gradient : training.gradients())
            for (const float x : gradient)
                expect(x == 2.5F, "what all hold has the mean of 1, 2, 3 and 4");
    const double elements = training.sum(static_cast<double>(training.gradients()[1].size()));
    if (comm.rank() == 0)
        std::printf("split %d, %s masking: %.0f of %d elements of a weight on four workers\n", static_cast<int>(c.by),
            c.backward ? "backward" : "forward", elements, 4 * 24 * 8);
    expect(
        c.backward || elements == (c.by == split::nothing ? 4 : c.holders) * 24 * 8, "as many hold each element as was chosen");
}

} // namespace

int main()
try {
    for (const auto by : {split::nothing, split::neurons, split::blocks})
        for (const bool backward : {false, true})
            sdp::run_workers(4, [&](sdp::thread_communicator comm) { train({.by = by, .backward = backward}, comm); });
    return 0;
} catch (const std::exception& e) {
    std::fprintf(stderr, "one_unit: %s\n", e.what());
    return 1;
}
