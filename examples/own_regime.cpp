// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief A masking regime of one's own: blocks masked in the forward pass, neurons only in the backward pass.
///
/// A regime answers two questions about a unit, given who holds it: who stores its value, and who trains it. Local shapes,
/// messages, owners and byte counts all follow from the two answers, so a regime that the library has never seen needs
/// nothing else.

#include <sdp/sdp.hpp>

#include <cstdint>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

// [regime]
/// A block is there or not, which saves its memory and its computation. Inside a block that is there, every neuron takes part
/// in the forward pass, and only those that are held get gradients.
struct mixed_masking {
    sdp::rank_set stored_by(const sdp::unit_view& unit) const
    {
        return unit.is_block ? unit.holders : sdp::rank_set::all(unit.world);
    }
    sdp::rank_set trained_by(const sdp::unit_view& unit) const { return unit.holders; }
};
static_assert(sdp::masking_regime<mixed_masking>);
// [regime]

namespace {

constexpr int workers = 8;
constexpr int width = 6;
constexpr int neurons = 16;

void expect(bool holds, const std::string& what)
{
    if (!holds)
        throw std::runtime_error("this does not hold: " + what);
}

/// Four residual branches of one hidden layer each.
sdp::model residual_network()
{
    sdp::model m;
    for (const std::string name : {"a", "b", "c", "d"}) {
        const auto branch = m.add_block(name);
        const auto hidden = m.add_group(name + ".hidden", neurons);
        m.add_parameter(name + ".up", {neurons, width}, {.within = branch, .axes = {{0, hidden}}});
        m.add_parameter(name + ".down", {width, neurons}, {.within = branch, .axes = {{1, hidden}}});
    }
    return m;
}

/// The local tensors of one parameter. Slab 0 is trained and has a gradient; what is only stored is in further ones.
struct weight {
    sdp::parameter_id id {};
    std::vector<std::vector<float>> values;
    std::vector<float> gradient;
};

void work(sdp::thread_communicator comm)
{
    const auto m = residual_network();
    // Each block goes to 4 of the 8 workers, and each of its neurons to 2 of those 4. A residency holds the regime's answers.
    const sdp::nested_partition partition {{.coverage = 0.5}, {.coverage = 0.5, .granularity = 2}};
    sdp::data_parallel net(m, partition, mixed_masking {}, comm, {.local = {.layout = sdp::value_layout::split}});

    std::vector<weight> weights;
    for (std::size_t p = 0; p < m.parameters().size(); ++p) {
        auto& w = weights.emplace_back();
        w.id = sdp::parameter_id(p);
        for (const auto& slab : net.subnetwork().slabs(w.id)) {
            auto& values = w.values.emplace_back(static_cast<std::size_t>(slab.size()));
            sdp::initialize(values, slab, [&](sdp::index_t i) { return sdp::counter_generator(7, p).uniform(std::uint64_t(i)); });
            if (slab.trained)
                w.gradient.resize(values.size());
        }
    }
    for (auto& w : weights)
        for (std::size_t s = 0; s < w.values.size(); ++s)
            net.bind(w.id, w.values[s], s); // the vectors do not move from here on

    for (int step = 0; step < 3; ++step) {
        for (auto w = weights.rbegin(); w != weights.rend(); ++w) {
            for (auto& g : w->gradient)
                g = static_cast<float>(net.rank() + step); // stands for a backward pass
            net.ready(w->id, w->gradient); // does nothing where nothing of the parameter is trained
        }
        net.finish();
        for (auto& w : weights)
            for (std::size_t i = 0; i < w.gradient.size(); ++i)
                w.values[0][i] -= 0.1F * w.gradient[i];
        net.publish_values(); // what others have trained, to those who store it
        expect(net.step_traffic().bytes() == sdp::bytes_per_step(m, net.residency(), net.rank()),
            "the bytes sent are those of the formula, for this regime too");
    }

    // Half of the blocks are stored, and half of what is stored is trained.
    const auto share = sdp::worker_shares(m, net.residency())[static_cast<std::size_t>(net.rank())];
    expect(share.stored == m.size() / 2 && share.trained == m.size() / 4, "a worker stores 1/2 of the model and trains 1/4");

    // After the last step everybody who stores an element has the same value of it, trainer or not.
    for (const auto& w : weights) {
        std::vector<float> full(static_cast<std::size_t>(m[w.id].size()));
        for (int root = 0; root < workers; ++root)
            net.assemble(w.id, root, full);
        for (std::size_t s = 0; s < w.values.size(); ++s) {
            std::vector<float> expected(w.values[s].size());
            sdp::slice(full, expected, net.subnetwork().slabs(w.id)[s]);
            expect(w.values[s] == expected, "stored values are equal in every bit on all who store them");
        }
    }
    if (net.rank() == 0)
        std::printf("a worker stores %lld of %lld elements, trains %lld and sent %llu bytes in the last step\n",
            static_cast<long long>(share.stored), static_cast<long long>(m.size()), static_cast<long long>(share.trained),
            static_cast<unsigned long long>(net.step_traffic().bytes()));
}

} // namespace

int main()
try {
    sdp::run_workers(workers, work);
    return 0;
} catch (const std::exception& e) {
    std::fprintf(stderr, "own_regime: %s\n", e.what());
    return 1;
}
