// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief A whole training run: four workers, each with half of a network's hidden neurons. Only the standard library.
///
/// The function between the markers is all that concerns SDP; the README shows it. The code before it replaces a framework:
/// data, a forward pass, a backward pass and gradient descent. The code after it checks the library's promises, and the program
/// fails if one does not hold.

#include <sdp/sdp.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

constexpr int inputs = 8;
constexpr int neurons = 64;
constexpr int workers = 4;
constexpr int steps = 400;

void expect(bool holds, const std::string& what)
{
    if (!holds)
        throw std::runtime_error("this does not hold: " + what);
}

struct sample {
    std::vector<float> x;
    float y = 0;
};
using samples = std::vector<sample>;

/// A batch of its own for every step and worker: y = |x₀ + x₁| − x₂.
samples batch_of(int step, int worker)
{
    const sdp::counter_generator random(/*seed*/ 1, /*stream*/ static_cast<std::uint64_t>(step * workers + worker));
    samples out(32);
    std::uint64_t next = 0;
    for (auto& s : out) {
        for (int i = 0; i < inputs; ++i)
            s.x.push_back(static_cast<float>(2 * random.uniform(next++) - 1));
        s.y = std::abs(s.x[0] + s.x[1]) - s.x[2];
    }
    return out;
}

/// One hidden layer, as wide as its weights say. The output is the mean over the neurons that are present, not their sum, so
/// that it keeps its scale when some are absent. The library leaves this choice to the model.
class network {
public:
    std::vector<float> up, down; ///< hidden × inputs, and 1 × hidden
    std::vector<float> up_gradient, down_gradient;
    std::vector<sdp::slab> slabs; ///< which elements of the full tensors these are

    explicit network(std::size_t width)
        : up(width * inputs)
        , down(width)
        , up_gradient(width * inputs)
        , down_gradient(width)
    {
    }

    /// Allocates only what the worker keeps. Each element gets the value that it has in the full model, whoever keeps it.
    network(const sdp::subnetwork& mine, sdp::parameter_id up_id, sdp::parameter_id down_id)
        : network(static_cast<std::size_t>(mine.shape(up_id)[0]))
    {
        slabs = {mine.slabs(up_id)[0], mine.slabs(down_id)[0]};
        const sdp::counter_generator for_up(2, 0), for_down(2, 1);
        sdp::initialize(up, slabs[0], [&](sdp::index_t i) { return for_up.normal(static_cast<std::uint64_t>(i)); });
        sdp::initialize(down, slabs[1], [&](sdp::index_t i) { return for_down.normal(static_cast<std::uint64_t>(i)); });
    }

    /// Forward and backward pass; returns the mean squared error.
    double backward(const samples& batch)
    {
        std::fill(up_gradient.begin(), up_gradient.end(), 0.0F);
        std::fill(down_gradient.begin(), down_gradient.end(), 0.0F);
        const auto count = static_cast<float>(batch.size());
        const auto width = static_cast<float>(down.size());
        double loss = 0;
        std::vector<float> active(down.size());
        for (const auto& s : batch) {
            float y = 0;
            for (std::size_t h = 0; h < down.size(); ++h) {
                float z = 0;
                for (std::size_t i = 0; i < inputs; ++i)
                    z += up[h * inputs + i] * s.x[i];
                active[h] = std::max(z, 0.0F);
                y += down[h] * active[h] / width;
            }
            const float off = y - s.y;
            loss += static_cast<double>(off * off / count);
            for (std::size_t h = 0; h < down.size(); ++h) {
                const float scale = 2 * off / count / width;
                down_gradient[h] += scale * active[h];
                for (std::size_t i = 0; i < inputs && active[h] > 0; ++i)
                    up_gradient[h * inputs + i] += scale * down[h] * s.x[i];
            }
        }
        return loss;
    }

    void descend(float rate)
    {
        const float step = rate * static_cast<float>(down.size());
        for (std::size_t i = 0; i < up.size(); ++i)
            up[i] -= step * up_gradient[i];
        for (std::size_t i = 0; i < down.size(); ++i)
            down[i] -= step * down_gradient[i];
    }
};

/// The loss averaged over the workers, and after every step the bytes that went out beside those that the formula gives.
void report(auto& net, int step, double loss)
{
    loss = net.sum(loss);
    if (step > 0)
        expect(net.step_traffic().bytes() == sdp::bytes_per_step(net.model(), net.residency(), net.rank()),
            "the bytes sent in a step are those of the formula");
    if (net.rank() == 0 && step % 50 == 0)
        std::printf("step %3d  loss %.4f\n", step, loss / workers);
}

// [quickstart]
network train(sdp::thread_communicator comm, network& full)
{
    sdp::model m; // what may be split: hidden neurons, which are rows of one matrix and columns of the other
    const auto hidden = m.add_group("hidden", neurons);
    const auto up = m.add_parameter("up", {neurons, inputs}, {.axes = {rows(hidden)}});
    const auto down = m.add_parameter("down", {1, neurons}, {.axes = {columns(hidden)}});

    // Each neuron goes to half of the workers. The others neither store nor compute it.
    sdp::data_parallel net(m, sdp::neuron_partition {.coverage = 0.5}, sdp::forward_masking {}, comm);
    network mine(net.subnetwork(), up, down); // the compact local tensors

    for (int step = 0; step < steps; ++step) {
        report(net, step, mine.backward(batch_of(step, net.rank())));
        net.ready(down, mine.down_gradient); // final, so it may travel while the rest is still being computed
        net.ready(up, mine.up_gradient);
        net.finish(); // each gradient is now the mean over the workers that hold its neuron
        mine.descend(0.2F);
    }

    net.assemble(up, mine.up, 0, full.up); // the whole model, at worker 0
    net.assemble(down, mine.down, 0, full.down);
    return mine;
}
// [quickstart]

} // namespace

int main()
try {
    network full(neurons);
    std::vector<network> parts(workers, network(0));
    sdp::run_workers(
        workers, [&](sdp::thread_communicator comm) { parts[static_cast<std::size_t>(comm.rank())] = train(comm, full); });

    for (const auto& part : parts) {
        expect(part.down.size() == neurons / 2, "every worker keeps half of the neurons");
        network expected(part.down.size());
        sdp::slice(full.up, expected.up, part.slabs[0]);
        sdp::slice(full.down, expected.down, part.slabs[1]);
        expect(part.up == expected.up && part.down == expected.down, "what several workers hold is equal in every bit");
    }

    const samples unseen = batch_of(steps, 0);
    const double loss = full.backward(unseen);
    std::printf("full model on unseen samples: loss %.4f\n", loss);
    expect(loss < 0.05, "the assembled model has learnt the function");
    return 0;
} catch (const std::exception& e) {
    std::fprintf(stderr, "quickstart: %s\n", e.what());
    return 1;
}
