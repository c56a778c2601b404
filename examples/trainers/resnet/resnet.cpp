// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "resnet.hpp"
#include "common/settings/precision.hpp"
#include "common/settings/recompute.hpp"
#include "common/settings/sentence.hpp"

#include <sdp/error.hpp>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <optional>
#include <string>

namespace trainer {

resnet_description describe(const resnet_shape& shape, pinning pin, balancing balance)
{
    resnet_description out {shape, {}, {}, {}};
    auto& m = out.model;
    auto& ids = out.parameters;
    const auto add_norm = [&](const std::string& of, std::int64_t channels, const sdp::placement& where) {
        const sdp::extents each {channels};
        return resnet_parameters::norm {m.add_parameter(of + ".scale", each, where), m.add_parameter(of + ".shift", each, where),
            out.statistics.add_parameter(of + ".mean", each, where), out.statistics.add_parameter(of + ".variance", each, where)};
    };

    std::int64_t blocks = 0;
    for (const auto& stage : shape.stages)
        blocks += stage.blocks;
    auto channels = shape.stages.front().channels;
    auto side = shape.side;
    ids.stem = m.add_parameter("stem", {channels, shape.inputs, 3, 3});
    ids.stem_norm = add_norm("stem_norm", channels, {});
    std::int64_t number = 0;
    for (std::size_t s = 0; s < shape.stages.size(); ++s) {
        const auto& stage = shape.stages[s];
        for (std::int64_t i = 0; i < stage.blocks; ++i, ++number) {
            const auto name = sentence("block", number);
            resnet_parameters::block b;
            b.stride = s > 0 && i == 0 ? 2 : 1;
            side = (side + b.stride - 1) / b.stride;
            if (stage.inner > 0) {
                const bool pinned = (number == 0 && (pin == pinning::first || pin == pinning::ends))
                    || (number + 1 == blocks && (pin == pinning::last || pin == pinning::ends));
                sdp::placement whole, rows, columns;
                if (!pinned) {
                    // Multiplications for an image: both convolutions compute images of this side.
                    const auto work = 9 * stage.inner * (channels + stage.channels) * side * side;
                    whole.within = rows.within = columns.within
                        = m.add_block(name, balance == balancing::work ? static_cast<double>(work) : 0);
                    out.statistics.add_block(name);
                    const auto group = m.add_group(name + ".channels", stage.inner);
                    out.statistics.add_group(name + ".channels", stage.inner);
                    rows.axes = {{0, group}};
                    columns.axes = {{1, group}};
                }
                resnet_parameters::branch branch {};
                branch.conv1 = m.add_parameter(name + ".conv1", {stage.inner, channels, 3, 3}, rows);
                branch.norm1 = add_norm(name + ".norm1", stage.inner, rows);
                branch.conv2 = m.add_parameter(name + ".conv2", {stage.channels, stage.inner, 3, 3}, columns);
                branch.norm2 = add_norm(name + ".norm2", stage.channels, whole);
                b.branch = branch;
            }
            if (b.stride != 1 || channels != stage.channels) {
                const auto conv = m.add_parameter(name + ".shortcut", {stage.channels, channels, 1, 1});
                b.shortcut = {conv, add_norm(name + ".shortcut_norm", stage.channels, {})};
            }
            channels = stage.channels;
            ids.blocks.push_back(b);
        }
    }
    ids.head = m.add_parameter("head", {shape.classes, channels});
    ids.head_shift = m.add_parameter("head_shift", {shape.classes});
    return out;
}

initial_value initial(const resnet_description& d, sdp::parameter_id id)
{
    const auto& p = d.model[id];
    if (p.shape.size() == 4) {
        const auto leaving = p.shape[0] * p.shape[2] * p.shape[3];
        return {0, std::sqrt(2 / static_cast<double>(leaving))};
    }
    if (id == d.parameters.head)
        return {0, 0.01};
    return {p.name.ends_with(".scale") ? 1.0 : 0.0, 0};
}

initial_value initial_statistic(const resnet_description& d, sdp::parameter_id id)
{
    return {d.statistics[id].name.ends_with(".variance") ? 1.0 : 0.0, 0};
}

resnet::resnet(const resnet_description& d, const weights& stored, const weights& statistics, const network_settings& settings)
    : settings_(settings)
    , drops_(settings)
{
    const auto& ids = d.parameters;
    const auto part_of = [](const weights& from, sdp::parameter_id id, std::size_t i) {
        return from.empty() ? at::Tensor() : from[sdp::index_of(id)].at(i).value;
    };
    const auto norm_of = [&](const resnet_parameters::norm& n, std::size_t i) {
        return norm {part_of(stored, n.scale, i), part_of(stored, n.shift, i), part_of(statistics, n.mean, i),
            part_of(statistics, n.variance, i)};
    };
    stem_ = whole(d.model, stored, ids.stem);
    stem_norm_ = norm_of(ids.stem_norm, 0);
    head_ = whole(d.model, stored, ids.head);
    head_shift_ = whole(d.model, stored, ids.head_shift);
    for (const auto& b : ids.blocks) {
        block out;
        out.stride = b.stride;
        if (b.branch) {
            out.droppable = d.model[b.branch->conv1].maskable(); // a pinned branch is never absent
            out.scale = out.droppable ? settings.branch_scale : 1;
            for (std::size_t i = 0; i < stored[sdp::index_of(b.branch->conv1)].size(); ++i)
                out.parts.push_back(
                    {part_of(stored, b.branch->conv1, i), part_of(stored, b.branch->conv2, i), norm_of(b.branch->norm1, i)});
            if (!out.parts.empty())
                out.output = norm_of(b.branch->norm2, 0);
        }
        if (b.shortcut) {
            out.shortcut = whole(d.model, stored, b.shortcut->conv);
            out.shortcut_norm = norm_of(b.shortcut->output, 0);
        }
        blocks_.push_back(std::move(out));
    }
}

/// @param again whether it is computed for the second time, and has left its trace in the statistics before
at::Tensor resnet::normalized(const at::Tensor& x, const norm& n, bool again) const
{
    const bool by_batch = settings_.training || !n.mean.defined();
    const bool known = n.mean.defined() && !again;
    // If libtorch's norm takes only one type, use that of the parameters.
    const auto in = x.is_cuda() ? x : x.to(n.scale.scalar_type());
    return at::batch_norm(
        in, n.scale, n.shift, known ? n.mean : at::Tensor(), known ? n.variance : at::Tensor(), by_batch, momentum_, 1e-5, true);
}

at::Tensor resnet::branch(std::size_t i, std::uint64_t pass, const at::Tensor& x) const
{
    const auto& b = blocks_[i];
    const bool again = settings_.checkpoint && at::GradMode::is_enabled(); // the first time is without
    at::Tensor sum;
    for (std::size_t p = 0; p < b.parts.size(); ++p) {
        const auto& [conv1, conv2, between] = b.parts[p];
        const auto inner = normalized(at::conv2d(x, conv1, {}, b.stride, 1), between, again).relu_();
        const auto out = at::conv2d(drops_.thin(inner, pass, 2 * i + p), conv2, {}, 1, 1);
        sum = p == 0 ? out : sum + out;
    }
    const auto y = normalized(sum, b.output, again);
    return b.scale == 1 ? y : y * b.scale;
}

at::Tensor resnet::logits(const at::Tensor& images) const
{
    const mixed_precision mixed(settings_.compute, settings_.device);
    const auto pass = drops_.pass();
    const auto pixels = images.to(stem_.options().requires_grad(false));
    auto x = normalized(at::conv2d(pixels, stem_, {}, 1, 1), stem_norm_).relu_();
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
        const auto& b = blocks_[i];
        const bool projects = b.shortcut.defined();
        const auto shortcut = projects ? normalized(at::conv2d(x, b.shortcut, {}, b.stride), b.shortcut_norm) : x;
        if (!b.parts.empty() && !(b.droppable && drops_.skips(i))) {
            const auto f = [this, i, pass](const at::Tensor& in) { return branch(i, pass, in); };
            const auto y = settings_.checkpoint ? recompute(f, x, settings_.compute, settings_.device) : f(x);
            x = (shortcut + y).relu_();
        } else if (projects) {
            x = shortcut.relu_();
        } // else x as it is, which no relu changes
    }
    return at::linear(at::mean(x, at::IntArrayRef {2, 3}), head_, head_shift_);
}

at::Tensor resnet::loss(const batch& b)
{
    drops_.next_pass();
    return at::cross_entropy_loss(logits(b.inputs).to(head_.scalar_type()), b.targets.to(head_.device()));
}

void resnet::collect(const at::Tensor& images, double share)
{
    const at::NoGradGuard forgets;
    const double usual = momentum_;
    momentum_ = share;
    (void)logits(images);
    momentum_ = usual;
}

} // namespace trainer
