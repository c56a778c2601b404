// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief Everything that a training framework does with the library, in the order in which it does it.
///
/// docs/embedding.md explains the marked parts one by one. The "framework" here is as small as can be: tensors are vectors,
/// and the loss is the distance of all weights to a target that differs from worker to worker. Training must then end at
/// the mean of the targets of those who train a weight, which is checked; the rest is as in a real framework: a backward
/// pass that finishes one gradient after another, momentum, clipping, accumulation, checkpoints, a restart with another
/// number of workers.

#include <sdp/sdp.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

void expect(bool holds, const std::string& what)
{
    if (!holds)
        throw std::runtime_error("this does not hold: " + what);
}

// [describe]
sdp::model describe(int layers, int width, int heads, int hidden)
{
    sdp::model m;
    m.add_parameter("embedding", {64, width}); // says nothing of groups or blocks: pinned, held by all
    for (int i = 0; i < layers; ++i) {
        const std::string layer = "layer." + std::to_string(i);
        const auto attention = m.add_block(layer + ".attention");
        const auto head = m.add_group(layer + ".heads", heads); // a head is width / heads rows or columns
        const sdp::index_t dimension = width / heads;
        m.add_parameter(layer + ".query_key_value", {3 * width, width}, // three matrices in one, each with the rows of all heads
            {.within = attention, .axes = {rows(head, {dimension, dimension, dimension})}});
        m.add_parameter(layer + ".output", {width, width}, {.within = attention, .axes = {columns(head)}});
        const auto feed_forward = m.add_block(layer + ".feed_forward");
        const auto neuron = m.add_group(layer + ".hidden", hidden);
        m.add_parameter(layer + ".gate", {hidden, width}, {.within = feed_forward, .axes = {rows(neuron)}});
        m.add_parameter(layer + ".up", {hidden, width}, {.within = feed_forward, .axes = {rows(neuron)}});
        m.add_parameter(layer + ".down", {width, hidden}, {.within = feed_forward, .axes = {columns(neuron)}});
    }
    return m;
}
// [describe]

// [construct]
auto connect(const sdp::model& m, sdp::thread_communicator comm)
{
    return sdp::data_parallel(m, sdp::block_partition {.coverage = 0.5}, sdp::backward_masking {}, comm,
        {.local = {.timeout = std::chrono::seconds(60), .layout = sdp::value_layout::split}});
}
// [construct]

/// A framework's state of one parameter on one worker.
struct weight {
    sdp::parameter_id id {};
    std::vector<float> value, gradient, momentum; ///< the trained part
    std::vector<std::vector<float>> frozen; ///< stored for the forward pass only
};

using weights = std::vector<weight>;

// [initialise]
weights make_weights(const sdp::model& m, const sdp::subnetwork& mine, std::uint64_t seed)
{
    weights out;
    for (std::size_t p = 0; p < m.parameters().size(); ++p) {
        auto& w = out.emplace_back();
        w.id = sdp::parameter_id(p);
        for (const auto& slab : mine.slabs(w.id)) {
            std::vector<float> part(static_cast<std::size_t>(slab.size()));
            sdp::initialize(part, slab, sdp::normal(seed, w.id, 0.02)); // an element has its value, whoever stores it
            if (slab.trained) {
                w.gradient.resize(part.size());
                w.momentum.resize(part.size());
                w.value = std::move(part);
            } else {
                w.frozen.push_back(std::move(part));
            }
        }
    }
    return out;
}

void bind_all(auto& net, weights& all)
{
    for (auto& w : all) {
        std::size_t frozen = 0;
        for (const auto& slab : net.subnetwork().slabs(w.id))
            net.bind(slab, slab.trained ? w.value : w.frozen[frozen++]);
    }
}
// [initialise]

/// The backward pass of the framework: adds to one gradient after another, last layer first, and says when one is final.
/// @param target where this worker wants all weights to be
void backward(weights& all, float target, float scale, auto&& is_final)
{
    for (auto w = all.rbegin(); w != all.rend(); ++w) {
        for (std::size_t i = 0; i < w->gradient.size(); ++i)
            w->gradient[i] += scale * (w->value[i] - target);
        is_final(*w);
    }
}

void zero_gradients(weights& all)
{
    for (auto& w : all)
        std::fill(w.gradient.begin(), w.gradient.end(), 0.0F);
}

/// Momentum, element by element.
void descend(std::span<float> value, std::span<const float> gradient, std::span<float> momentum, float factor)
{
    for (std::size_t i = 0; i < value.size(); ++i) {
        momentum[i] = 0.5F * momentum[i] + factor * gradient[i];
        value[i] -= 0.3F * momentum[i];
    }
}

// [step]
void step(auto& net, weights& all, float target, double largest_norm)
{
    zero_gradients(all);
    backward(all, target, 1.0F, [&](weight& w) { net.ready(w.id, w.gradient); }); // the hook
    net.finish();

    const double norm = net.gradient_norm(); // of the whole model, each element once; the same bits on every worker
    const auto clip = static_cast<float>(std::min(1.0, largest_norm / norm));
    for (auto& w : all)
        descend(w.value, w.gradient, w.momentum, clip);
    net.publish_values(); // to those who store what they do not train; sends nothing under forward masking
}
// [step]

// [accumulate]
void accumulating_step(auto& net, weights& all, float target, int micro_batches, double samples)
{
    zero_gradients(all);
    const float share = 1.0F / static_cast<float>(micro_batches);
    const auto hook = [&](weight& w) { net.ready(w.id, w.gradient); };
    {
        const auto pause = net.no_sync(); // in here the hook may call ready as ever; nothing is sent
        for (int i = 0; i + 1 < micro_batches; ++i)
            backward(all, target, share, hook);
    }
    net.begin_step(samples); // optional: the mean is then weighted by what each worker has seen
    backward(all, target, share, hook);
    net.finish();
    for (auto& w : all)
        descend(w.value, w.gradient, w.momentum, 1.0F);
    net.publish_values();
}
// [accumulate]

// [owner update]
/// The optimizer's state exists only for what this worker owns: 1/k of what it trains.
struct owned_state {
    std::vector<float> value, gradient, momentum;

    explicit owned_state(auto& net)
        : value(static_cast<std::size_t>(net.owned_elements()))
        , gradient(value.size())
        , momentum(value.size())
    {
    }
};

void owner_step(auto& net, weights& all, owned_state& mine, float target)
{
    zero_gradients(all);
    backward(all, target, 1.0F, [&](weight& w) { net.ready(w.id, w.gradient); });
    net.finish(); // only the owners have the means now
    net.read_owned_gradients(mine.gradient);
    net.read_owned_values(mine.value);
    descend(mine.value, mine.gradient, mine.momentum, 1.0F);
    net.write_owned_values(mine.value);
    net.publish_values(); // from the owners to everybody who stores them
}
// [owner update]

/// A checkpoint of the full model: what would be written to a file, parameter by parameter.
struct checkpoint {
    std::vector<std::vector<float>> value, momentum;
};

// [save]
/// Collective. The file is whole, whatever the partition was, and one parameter at a time is in memory at its full size.
void save(auto& net, const weights& all, checkpoint& file)
{
    const auto write = [&](std::vector<std::vector<float>>& to, sdp::parameter_id id, const std::vector<float>& mine) {
        std::vector<float> full(net.rank() == 0 ? static_cast<std::size_t>(net.model()[id].size()) : 0);
        net.assemble(id, mine, 0, full); // from those who own the elements
        if (net.rank() == 0)
            to.push_back(std::move(full));
    };
    for (const auto& w : all) {
        write(file.value, w.id, w.value);
        write(file.momentum, w.id, w.momentum);
    }
}
// [save]

// [load]
/// Collective. Rank 0 has the file; the partition and the number of workers may be others than those that saved.
void load(auto& net, weights& all, const checkpoint& file)
{
    for (auto& w : all) {
        const auto p = sdp::index_of(w.id);
        net.distribute(w.id, 0, file.value[p]); // to the bound values of all who store them
        net.distribute(w.id, 0, file.momentum[p], w.momentum);
    }
}
// [load]

float target_of(int rank)
{
    return static_cast<float>(rank + 1);
}

/// Returns true if every weight that is trained here equals the mean of its trainers' targets, weighted as given.
void expect_means(auto& net, const weights& all, auto&& weight_of)
{
    for (const auto& w : all) {
        if (!net.subnetwork().trains(w.id))
            continue;
        const auto& p = net.model()[w.id];
        const auto holders = p.where.within ? net.assignment().holders(*p.where.within) : sdp::rank_set::all(net.world());
        double sum = 0, weight = 0;
        for (const int rank : holders.ranks()) {
            sum += weight_of(rank) * static_cast<double>(target_of(rank));
            weight += weight_of(rank);
        }
        for (const float value : w.value)
            expect(std::abs(static_cast<double>(value) - sum / weight) < 1e-3, "training ends at the mean over who trains");
    }
}

void expect_formula(auto& net)
{
    expect(net.step_traffic().bytes() == sdp::bytes_per_step(net.model(), net.residency(), net.rank(), net.options().update),
        "the bytes sent are those of the formula");
}

void first_run(sdp::thread_communicator comm, const sdp::model& m, checkpoint& file)
{
    auto net = connect(m, comm);
    weights all = make_weights(m, net.subnetwork(), 1);
    bind_all(net, all);

    for (int i = 0; i < 60; ++i)
        step(net, all, target_of(net.rank()), 1e3);
    expect_formula(net);
    expect_means(net, all, [](int) { return 1.0; });
    save(net, all, file);
}

void second_run(sdp::thread_communicator comm, const sdp::model& m, const checkpoint& file)
{
    sdp::data_parallel net(m, sdp::block_partition {.coverage = 0.25, .seed = 3}, sdp::forward_masking {}, comm);
    weights all = make_weights(m, net.subnetwork(), 1);
    bind_all(net, all);
    load(net, all, file);

    const auto samples = [](int rank) { return 1.0 + rank % 3; };
    for (int i = 0; i < 60; ++i)
        accumulating_step(net, all, target_of(net.rank()), 4, samples(net.rank()));
    expect_formula(net);
    expect_means(net, all, samples);
}

void third_run(sdp::thread_communicator comm, const sdp::model& m)
{
    sdp::data_parallel net(m, sdp::block_partition {.coverage = 0.75}, sdp::backward_masking {}, comm,
        {.update = sdp::update_mode::owner_update, .local = {.layout = sdp::value_layout::split}});
    weights all = make_weights(m, net.subnetwork(), 1);
    bind_all(net, all);
    owned_state mine(net);
    for (int i = 0; i < 60; ++i)
        owner_step(net, all, mine, target_of(net.rank()));
    expect_formula(net);
    expect_means(net, all, [](int) { return 1.0; });
}

} // namespace

int main()
try {
    const auto m = describe(2, 16, 4, 40);
    checkpoint file;
    sdp::run_workers(4, [&](sdp::thread_communicator comm) { first_run(comm, m, file); });
    expect(file.momentum.size() == m.parameters().size(), "the checkpoint has everything");
    sdp::run_workers(8, [&](sdp::thread_communicator comm) { second_run(comm, m, file); });
    sdp::run_workers(4, [&](sdp::thread_communicator comm) { third_run(comm, m); });
    std::printf("%lld parameters trained by 4 workers, then by 8, then with owner updates\n", static_cast<long long>(m.size()));
    return 0;
} catch (const std::exception& e) {
    std::fprintf(stderr, "embedding: %s\n", e.what());
    return 1;
}
