// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief A partition policy of one's own: cyclic windows instead of the balanced design.
///
/// A policy is any callable object that maps a model and a number of workers to an assignment. It sees no tensor and no
/// communicator, so every worker evaluates it alone, and all get the same result because it depends on nothing else.

#include <sdp/sdp.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

// [policy]
/// Assigns unit u of every neuron group to workers u, u+1, …, u+k−1 (mod N); blocks stay pinned.
struct cyclic_windows {
    int k = 2; ///< holders per unit
    sdp::index_t granularity = 1; ///< neurons per unit

    sdp::assignment operator()(const sdp::model& m, int world) const
    {
        if (k < 1 || k > world)
            throw sdp::input_error("cyclic_windows: k is " + std::to_string(k) + "; expected 1 to " + std::to_string(world));
        sdp::assignment out(m, world); // starts with everything pinned
        for (std::size_t g = 0; g < m.groups().size(); ++g) {
            std::vector<sdp::neuron_unit> units;
            for (sdp::index_t begin = 0; begin < m.groups()[g].neurons; begin += granularity) {
                std::vector<int> window;
                for (int i = 0; i < k; ++i)
                    window.push_back(static_cast<int>((begin / granularity + i) % world));
                units.push_back({begin, std::min(begin + granularity, m.groups()[g].neurons), sdp::rank_set(window)});
            }
            out.assign(sdp::group_id(g), units);
        }
        return out;
    }
};
static_assert(sdp::partition_policy<cyclic_windows>);
// [policy]

namespace {

void expect(bool holds, const std::string& what)
{
    if (!holds)
        throw std::runtime_error("this does not hold: " + what);
}

struct description {
    sdp::model model;
    sdp::parameter_id up, down;

    description()
    {
        const auto hidden = model.add_group("hidden", 32);
        up = model.add_parameter("up", {32, 6}, {.axes = {{0, hidden}}});
        down = model.add_parameter("down", {6, 32}, {.axes = {{1, hidden}}});
    }
};

/// Prints the spectral gap of eight workers by the number of holders: windows beside a design in which all subsets of k
/// workers occur, whose gap is 1 − (N−k)/(k(N−1)).
void compare_mixing()
{
    constexpr int world = 8;
    constexpr double windows[] = {0.0, 0.146, 0.352, 0.573, 0.767, 0.905, 0.980, 1.0};
    const description d;
    std::printf("holders  windows  all subsets\n");
    for (int k = 1; k <= world; ++k) {
        const double gap = sdp::spectral_gap(cyclic_windows {.k = k}(d.model, world));
        const double best = 1 - double(world - k) / (k * (world - 1));
        std::printf("%7d  %7.3f  %11.3f\n", k, gap, best);
        expect(std::abs(gap - windows[k - 1]) < 0.0006, "the spectral gap of cyclic windows is the known one");
        expect(gap < best + 1e-9, "no arrangement mixes better than all subsets");
    }
}

/// One step with the policy in its place: the third worker's gradients are 3, so a mean tells who was averaged.
void work(sdp::thread_communicator comm)
{
    const description d;
    sdp::data_parallel net(d.model, cyclic_windows {.k = 2, .granularity = 4}, sdp::forward_masking {}, comm);

    std::vector<float> up(static_cast<std::size_t>(net.subnetwork().shape(d.up).product()), static_cast<float>(net.rank() + 1));
    std::vector<float> down(static_cast<std::size_t>(net.subnetwork().shape(d.down).product()));
    net.ready(d.down, down);
    net.ready(d.up, up);
    net.finish();

    const auto& slab = net.subnetwork().slabs(d.up)[0];
    for (sdp::index_t neuron = 0; neuron < 32; ++neuron) {
        const auto row = slab.local(0, neuron);
        const int first = static_cast<int>(neuron / 4 % 4), second = (first + 1) % 4;
        expect((row >= 0) == (net.rank() == first || net.rank() == second), "a worker holds the neurons of its windows");
        for (sdp::index_t i = 0; row >= 0 && i < 6; ++i)
            expect(up[static_cast<std::size_t>(row * 6 + i)] == static_cast<float>(first + second + 2) / 2, "the mean is theirs");
    }
    expect(net.step_traffic().bytes() == sdp::bytes_per_step(d.model, net.residency(), net.rank()),
        "the bytes sent are those of the formula, for this policy too");
}

} // namespace

int main()
try {
    compare_mixing();
    sdp::run_workers(4, work);

    // A refusal by the policy is an error on every rank, and no rank waits for another.
    try {
        sdp::run_workers(4, [](sdp::thread_communicator comm) {
            sdp::data_parallel net(description().model, cyclic_windows {.k = 5}, sdp::forward_masking {}, comm);
        });
        expect(false, "five holders among four workers are refused");
    } catch (const sdp::error& e) {
        std::printf("refused: %s\n", e.what());
    }
    return 0;
} catch (const std::exception& e) {
    std::fprintf(stderr, "own_partition: %s\n", e.what());
    return 1;
}
