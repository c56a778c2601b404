// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "layout.hpp"

#include <algorithm>
#include <numeric>
#include <stdexcept>

namespace overlap_bench {
namespace {

    /// All k-subsets of the workers, each once, neighbours unlike each other.
    [[nodiscard]] std::vector<sdp::rank_set> subsets(int world, int k)
    {
        std::vector<sdp::rank_set> out;
        std::vector<bool> chosen(static_cast<std::size_t>(world), false);
        std::fill(chosen.begin(), chosen.begin() + k, true);
        do {
            std::vector<int> ranks;
            for (int rank = 0; rank < world; ++rank)
                if (chosen[static_cast<std::size_t>(rank)])
                    ranks.push_back(rank);
            out.emplace_back(ranks);
        } while (std::prev_permutation(chosen.begin(), chosen.end()));
        // A stride that is coprime to the count visits every subset and separates neighbours.
        std::vector<sdp::rank_set> mixed(out.size());
        std::size_t stride = out.size() / 3 + 1;
        while (std::gcd(stride, out.size()) != 1)
            ++stride;
        for (std::size_t i = 0; i < out.size(); ++i)
            mixed[i] = out[i * stride % out.size()];
        return mixed;
    }

    /// Masks that nobody has designed: sizes from 2 to the number of workers and members by chance, the same everywhere.
    [[nodiscard]] std::vector<sdp::rank_set> unlucky_sets(int world)
    {
        const sdp::counter_generator random(20250709, 0);
        std::uint64_t drawn = 0;
        const auto below = [&](int bound) { return static_cast<int>(random.bits(drawn++) % static_cast<std::uint64_t>(bound)); };
        std::vector<sdp::rank_set> out;
        for (int i = 0; i < 1021; ++i) {
            std::vector<int> ranks(static_cast<std::size_t>(world));
            std::iota(ranks.begin(), ranks.end(), 0);
            const int k = 2 + below(world - 1);
            for (int at = 0; at < k; ++at)
                std::swap(ranks[static_cast<std::size_t>(at)], ranks[static_cast<std::size_t>(at + below(world - at))]);
            ranks.resize(static_cast<std::size_t>(k));
            std::sort(ranks.begin(), ranks.end());
            out.emplace_back(ranks);
        }
        return out;
    }

    /// Float matrices of about `bytes` together, cut into runs of `run_bytes` within a row, which take the sets in turn from
    /// one matrix to the next. At most about a thousand runs a row.
    [[nodiscard]] layout scattered(const options& o, std::size_t bytes, std::size_t run_bytes, int holders, int world)
    {
        const bool uniform = holders != mixed_holders;
        const auto sets = uniform ? subsets(world, holders) : unlucky_sets(world);
        // Whole rounds over the sets where there is a design, so that all workers hold as much.
        const std::size_t period = uniform ? sets.size() : 1;
        const auto whole = [&](std::size_t runs) { return std::max<std::size_t>(runs / period, 1) * period; };
        const std::size_t run = std::max<std::size_t>(run_bytes / sizeof(float), 1);
        const std::size_t runs = whole(bytes / sizeof(float) / run);
        const std::size_t target
            = o.parameters > 0 ? o.parameters : std::max<std::size_t>(runs * run * sizeof(float) / (std::size_t {2} << 20), 1);
        const std::size_t each = (runs + target - 1) / target;

        layout out;
        out.run_bytes = run * sizeof(float);
        out.holders = holders;
        std::vector<std::size_t> first; // set of the first run of each matrix
        for (std::size_t begin = 0, p = 0; begin < runs; ++p) {
            const std::size_t left = std::min(each, runs - begin);
            const std::size_t in_row = left <= std::min<std::size_t>(period, 1024) ? left : std::min(left, whole(1024));
            const std::size_t rows = left / in_row;
            const auto group = out.model.add_group(sdp::detail::text("columns", p), static_cast<sdp::index_t>(in_row));
            out.model.add_parameter(sdp::detail::text("matrix", p),
                {static_cast<sdp::index_t>(rows), static_cast<sdp::index_t>(in_row * run)}, {.axes = {{1, group}}});
            first.push_back(begin % sets.size());
            begin += in_row * rows;
        }
        out.partition = [sets, first](const sdp::model& m, int size) {
            sdp::assignment a(m, size);
            for (std::size_t g = 0; g < m.groups().size(); ++g) {
                std::vector<sdp::neuron_unit> units;
                for (sdp::index_t n = 0; n < m.groups()[g].neurons; ++n)
                    units.push_back({n, n + 1, sets[(first[g] + static_cast<std::size_t>(n)) % sets.size()]});
                a.assign(sdp::group_id(g), units);
            }
            return a;
        };
        return out;
    }

    /// LLaMA with 12 layers of width 768: as examples/train_llama describes one to the library.
    [[nodiscard]] sdp::model llama_130m(std::size_t scale)
    {
        const sdp::index_t hidden = 768, heads = 12, head = hidden / heads, ffn = 2048;
        const auto scaled = [&](std::size_t size) { return static_cast<sdp::index_t>(std::max<std::size_t>(size / scale, 1)); };
        sdp::model m;
        m.add_parameter("embedding", {scaled(32000), hidden});
        for (sdp::index_t i = 0; i < scaled(12); ++i) {
            const auto name = sdp::detail::text("layer", i, ".");
            const auto attention = m.add_block(name + "attention"), mlp = m.add_block(name + "ffn");
            const auto split = m.add_group(name + "heads", heads), inner = m.add_group(name + "hidden", ffn);
            m.add_parameter(name + "attention_norm", {hidden}, {attention});
            for (const char* matrix : {"q", "k", "v"})
                m.add_parameter(name + matrix, {hidden, hidden}, {attention, {{0, split, head}}});
            m.add_parameter(name + "o", {hidden, hidden}, {attention, {{1, split, head}}});
            m.add_parameter(name + "ffn_norm", {hidden}, {mlp});
            m.add_parameter(name + "gate", {ffn, hidden}, {mlp, {{0, inner, 1}}});
            m.add_parameter(name + "up", {ffn, hidden}, {mlp, {{0, inner, 1}}});
            m.add_parameter(name + "down", {hidden, ffn}, {mlp, {{1, inner, 1}}});
        }
        m.add_parameter("final_norm", {hidden});
        m.add_parameter("head", {scaled(32000), hidden});
        return m;
    }

} // namespace

void for_each_layout(const options& o, int world, const std::function<void(const layout&)>& f)
{
    for (const int holders : o.holders)
        if (holders > world)
            throw std::invalid_argument(
                "--holders has " + std::to_string(holders) + ", but there are " + std::to_string(world) + " workers");
    if (o.layout == "scattered") {
        for (const auto bytes : o.bytes)
            for (const auto run_bytes : o.run_bytes)
                for (const int holders : o.holders)
                    f(scattered(o, bytes, run_bytes, holders, world));
        return;
    }
    const bool neurons = o.layout == "llama-130m-neuron";
    if (!neurons && o.layout != "llama-130m-block")
        throw std::invalid_argument("--layout has '" + o.layout + "'; expected scattered, llama-130m-neuron or llama-130m-block");
    for (const int holders : o.holders) {
        if (holders == mixed_holders)
            throw std::invalid_argument("--holders has 'mixed'; the partitions of " + o.layout + " take a number");
        layout out {llama_130m(o.scale), {}, 0, holders};
        const double coverage = static_cast<double>(holders) / world;
        if (neurons)
            out.partition = sdp::combined(sdp::neuron_partition {.coverage = coverage, .groups = "*.heads"},
                sdp::neuron_partition {.coverage = coverage, .seed = 1, .groups = "*.hidden"});
        else
            out.partition = sdp::block_partition {.coverage = coverage, .blocks = "*"};
        f(out);
    }
}

element_holders::element_holders(const sdp::model& m, const sdp::assignment& a, sdp::parameter_id id)
{
    const auto& p = m[id];
    const auto outer = p.where.within ? a.holders(*p.where.within) : sdp::rank_set::all(a.world());
    if (p.where.axes.size() > 1)
        throw std::logic_error("a parameter that is split on two axes; no layout here has one");
    if (p.where.axes.empty()) {
        sets_.push_back(outer.ranks());
        set_of_neuron_.push_back(0);
        return;
    }
    const auto& axis = p.where.axes.front();
    extent_ = p.shape[static_cast<std::size_t>(axis.axis)];
    for (std::size_t i = static_cast<std::size_t>(axis.axis) + 1; i < p.shape.size(); ++i)
        inner_ *= p.shape[i];
    for (const auto& unit : a.units(axis.group)) {
        set_of_neuron_.insert(set_of_neuron_.end(), static_cast<std::size_t>((unit.end - unit.begin) * axis.elements_per_neuron),
            static_cast<std::uint32_t>(sets_.size()));
        sets_.push_back(intersection(outer, a.holders(unit)).ranks());
    }
}

} // namespace overlap_bench
