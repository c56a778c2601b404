// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "common/learning/probe.hpp"
#include "common/backends/device.hpp"
#include "common/model/partition.hpp"
#include "common/model/weights.hpp"

#include <sdp/adapters/torch.hpp>
#include <sdp/masking/residency.hpp>

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
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

    /// Storers and trainers of the model and of its statistics.
    struct residents {
        sdp::residency model;
        std::optional<sdp::residency> statistics;

        residents(const options& o, const task& t, const sdp::assignment& a)
            : model(t.model(), a, chosen_masking {o.masking})
        {
            if (t.statistics() != nullptr)
                statistics.emplace(*t.statistics(), a, chosen_masking {o.masking});
        }
    };

    direction of_worker(const options& o, const task& t, const weights& full, const weights& statistics, const residents& holders,
        int rank, const batch& b)
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
        const auto stored = cut(t.model(), holders.model, full, true);
        const auto stored_statistics
            = holders.statistics ? cut(*t.statistics(), *holders.statistics, statistics, false) : weights();
        auto settings = training_settings(o, rank);
        settings.dropout = settings.stochastic_depth = 0;
        const auto net = t.make_network(stored, stored_statistics, settings);
        net->loss({b.inputs.to(device), b.targets.to(device)}).backward();

        const sdp::subnetwork mine(t.model(), holders.model, rank, sdp::value_layout::split);
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

    /// Mean over the holders of every element.
    at::Tensor mean_over_holders(const std::vector<direction>& parts)
    {
        auto sum = parts.front().gradient.clone(), count = parts.front().held.clone();
        for (std::size_t i = 1; i < parts.size(); ++i) {
            sum += parts[i].gradient;
            count += parts[i].held;
        }
        return sum / count;
    }
} // namespace

void squared_expectation::add(const at::Tensor& x)
{
    sum_ = draws_ == 0 ? x.clone() : sum_ + x;
    squares_ += product(x, x);
    ++draws_;
}

double squared_expectation::value() const
{
    return (product(sum_, sum_) - squares_) / (draws_ * (draws_ - 1.0));
}

alignment probe(const options& o, const task& t, const weights& full, const weights& statistics, int world, std::uint64_t number)
{
    constexpr int draws = 8;
    const residents own(o, t, chosen_partition(o, t)(t.model(), world)), everything(o, t, sdp::pinned {}(t.model(), world));
    mean to_full, pairwise;
    squared_expectation difference, difference_over_masks, whole_gradients;
    for (int draw = 0; draw < draws; ++draw) {
        auto foreign = o;
        foreign.seed += 1000 * static_cast<std::uint64_t>(draw + 1); // no masks that the weights have adapted to
        const residents drawn(foreign, t, chosen_partition(foreign, t)(t.model(), world));

        std::vector<direction> parts, parts_drawn;
        at::Tensor full_mean;
        for (int rank = 0; rank < world; ++rank) {
            // Beyond what the training reads.
            const auto b = t.training_data(rank, world)
                               ->read(o.batch, (std::uint64_t {1} << 40) + number * draws + static_cast<std::uint64_t>(draw));
            parts.push_back(of_worker(o, t, full, statistics, own, rank, b));
            parts_drawn.push_back(of_worker(o, t, full, statistics, drawn, rank, b));
            auto plain = o;
            plain.rescale = rescaling::none; // nothing is absent
            const auto gradient = of_worker(plain, t, full, statistics, everything, rank, b).gradient;
            add_cosine(to_full, parts.back().gradient, gradient * parts.back().held);
            full_mean = rank == 0 ? gradient : full_mean + gradient;
        }
        full_mean = full_mean / world;
        for (std::size_t i = 1; i < parts.size(); ++i)
            for (std::size_t j = 0; j < i; ++j)
                add_cosine(pairwise, parts[i].gradient * parts[j].held, parts[j].gradient * parts[i].held);
        difference.add(mean_over_holders(parts) - full_mean);
        difference_over_masks.add(mean_over_holders(parts_drawn) - full_mean);
        whole_gradients.add(full_mean);
    }
    const double length = std::max(0.0, whole_gradients.value());
    const auto relative = [&](const squared_expectation& d) { return std::sqrt(std::max(0.0, d.value()) / length); };
    return {to_full.value(), pairwise.value(), relative(difference), relative(difference_over_masks)};
}

} // namespace trainer
