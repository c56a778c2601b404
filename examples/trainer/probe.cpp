// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "probe.hpp"
#include "device.hpp"
#include "partition.hpp"
#include "weights.hpp"

#include <sdp/adapters/torch.hpp>
#include <sdp/masking/regime.hpp>

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

namespace trainer {

namespace {
    /// A worker's gradient in the coordinates of the full model, and 1 where it holds an element.
    struct direction {
        at::Tensor gradient, held;
    };

    /// One element per element of the maskable parameters.
    at::Tensor flat(const task& t, const std::vector<at::Tensor>& full)
    {
        std::vector<at::Tensor> out;
        for (std::size_t p = 0; p < full.size(); ++p)
            if (t.model().parameters()[p].maskable())
                out.push_back(full[p].reshape({-1}).to(at::kDouble));
        return at::cat(out);
    }

    direction of_worker(const options& o, const task& t, const weights& full, const weights& statistics,
        const sdp::residency& holders, const sdp::residency* statistics_holders, int rank, const batch& b)
    {
        const auto device = torch_device(o.device);
        const auto cut = [&](const sdp::model& m, const sdp::residency& r, const weights& from, bool gradients) {
            const sdp::subnetwork mine(m, r, rank, sdp::value_layout::split);
            weights out(from.size());
            for (std::size_t p = 0; p < from.size(); ++p)
                for (const auto& slab : mine.slabs(sdp::parameter_id(p))) {
                    auto value = at::empty({slab.shape.begin(), slab.shape.size()}, at::kFloat);
                    sdp::slice(from[p].front().value, value, slab);
                    out[p].push_back({value.to(device).requires_grad_(gradients && slab.trained), slab.trained});
                }
            return out;
        };
        const auto stored = cut(t.model(), holders, full, true);
        const auto stored_statistics
            = statistics_holders == nullptr ? weights() : cut(*t.statistics(), *statistics_holders, statistics, false);
        const auto net = t.make_network(stored, stored_statistics, {.training = true, .compute = o.compute, .device = o.device});
        net->loss({b.inputs.to(device), b.targets.to(device)}).backward();

        const sdp::subnetwork mine(t.model(), holders, rank, sdp::value_layout::split);
        std::vector<at::Tensor> gradients, held;
        for (std::size_t p = 0; p < full.size(); ++p) {
            auto gradient = at::zeros_like(full[p].front().value), mask = at::zeros_like(gradient);
            const auto id = sdp::parameter_id(p);
            if (mine.trains(id)) {
                const auto& slab = mine.slabs(id).front();
                const auto& own = stored[p].front().value;
                const auto got = own.grad().defined() ? own.grad().cpu().contiguous() : at::zeros(own.sizes());
                sdp::unslice(got, gradient, slab);
                sdp::unslice(at::ones_like(got), mask, slab);
            }
            gradients.push_back(gradient);
            held.push_back(mask);
        }
        return {flat(t, gradients), flat(t, held)};
    }

    double product(const at::Tensor& a, const at::Tensor& b)
    {
        return at::dot(a, b).item<double>();
    }

    /// Means of what is added to it.
    struct mean {
        double sum = 0;
        int count = 0;
        void add(double x) { sum += x, ++count; }
        [[nodiscard]] double value() const { return count > 0 ? sum / count : 0; }
    };

    void add_cosine(mean& to, const at::Tensor& a, const at::Tensor& b)
    {
        const double lengths = std::sqrt(product(a, a) * product(b, b));
        if (lengths > 0)
            to.add(product(a, b) / lengths);
    }

    /// Estimates the squared length of an expectation from independent draws, without bias.
    struct squared_expectation {
        at::Tensor sum;
        double squares = 0;
        int draws = 0;

        void add(const at::Tensor& x)
        {
            sum = draws == 0 ? x.clone() : sum + x;
            squares += product(x, x);
            ++draws;
        }
        [[nodiscard]] double value() const { return (product(sum, sum) - squares) / (draws * (draws - 1.0)); }
    };
} // namespace

alignment probe(const options& o, const task& t, const weights& full, const weights& statistics, int world, std::uint64_t number)
{
    constexpr int draws = 8;
    mean to_full, pairwise;
    squared_expectation difference, whole;
    const auto residents
        = [&](const sdp::model& m, const sdp::assignment& a) { return sdp::residency(m, a, chosen_masking {o.masking}); };
    for (int draw = 0; draw < draws; ++draw) {
        auto drawn = o;
        drawn.seed += 1000 * static_cast<std::uint64_t>(draw); // the first draw is the run's own masks
        const auto assignment = chosen_partition(drawn, t)(t.model(), world);
        const auto everything = sdp::pinned {}(t.model(), world);
        const auto holders = residents(t.model(), assignment), all = residents(t.model(), everything);
        std::optional<sdp::residency> statistics_holders, statistics_all;
        if (t.statistics() != nullptr) {
            statistics_holders.emplace(residents(*t.statistics(), assignment));
            statistics_all.emplace(residents(*t.statistics(), everything));
        }
        const auto pointer = [](const auto& r) { return r ? &*r : nullptr; };

        std::vector<direction> parts;
        at::Tensor full_mean;
        for (int rank = 0; rank < world; ++rank) {
            // Beyond what the training reads.
            const auto b = t.training_data(rank, world)
                               ->read(o.batch, (std::uint64_t {1} << 40) + number * draws + static_cast<std::uint64_t>(draw));
            parts.push_back(of_worker(o, t, full, statistics, holders, pointer(statistics_holders), rank, b));
            const auto whole_gradient = of_worker(o, t, full, statistics, all, pointer(statistics_all), rank, b).gradient;
            add_cosine(to_full, parts.back().gradient, whole_gradient * parts.back().held);
            full_mean = rank == 0 ? whole_gradient : full_mean + whole_gradient;
        }
        full_mean = full_mean / world;
        auto sum = parts.front().gradient.clone(), count = parts.front().held.clone();
        for (int i = 1; i < world; ++i) {
            const auto& part = parts[static_cast<std::size_t>(i)];
            sum += part.gradient;
            count += part.held;
            for (int j = 0; j < i; ++j) {
                const auto& other = parts[static_cast<std::size_t>(j)];
                add_cosine(pairwise, part.gradient * other.held, other.gradient * part.held);
            }
        }
        difference.add(sum / count - full_mean);
        whole.add(full_mean);
    }
    const double length = whole.value();
    return {to_full.value(), pairwise.value(),
        length > 0 ? std::sqrt(std::max(0.0, difference.value()) / length) : std::numeric_limits<double>::quiet_NaN()};
}

} // namespace trainer
