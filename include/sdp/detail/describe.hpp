// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Texts, a line per fact, by which ranks compare what they were built from.

#include <sdp/masking/regime.hpp>
#include <sdp/synchronizer_options.hpp>

#include <string>

namespace sdp::detail {

[[nodiscard]] inline std::string describe(const model& m)
{
    std::string out;
    for (const auto& g : m.groups())
        out += text("neuron group '", g.name, "' of ", g.neurons, " neurons, cost ", g.cost_per_neuron, "\n");
    for (const auto& b : m.blocks())
        out += text("block '", b.name, "', cost ", b.cost, "\n");
    for (const auto& p : m.parameters()) {
        out += text("parameter '", p.name, "' of shape ", p.shape, ", ", name_of(p.type()));
        if (p.where.within)
            out += text(", in block '", m[*p.where.within].name, "'");
        for (const auto& axis : p.where.axes)
            out += text(", axis ", axis.axis, " in group '", m[axis.group].name, "' by ", axis.elements_per_neuron);
        out += '\n';
    }
    return out;
}

[[nodiscard]] inline std::string describe(const synchronizer_options& o)
{
    return text("normalizer ", o.normalizer == normalizer::holders ? "holders" : "world", "\nupdate mode ",
        o.update == update_mode::average ? "average" : "owner_update", "\nbucket_bytes ", o.bucket_bytes, "\nroute ",
        name_of(o.route), "\n");
}

[[nodiscard]] inline std::string describe(const model& m, const assignment& a)
{
    std::string out;
    for (std::size_t g = 0; g < a.group_count(); ++g)
        for (const auto& u : a.units(group_id(g)))
            out += text("neuron group '", m.groups()[g].name, "', neurons [", u.begin, ", ", u.end, ") held by ",
                a.holders(u).ranks(), "\n");
    for (std::size_t b = 0; b < a.block_count(); ++b)
        out += text("block '", m.blocks()[b].name, "' held by ", a.holders(block_id(b)).ranks(), "\n");
    return out;
}

[[nodiscard]] inline std::string describe(const model& m, const residency& r)
{
    std::string out;
    const auto add = [&](std::uint32_t number) {
        out += text(" stored by ", r[number].stored.ranks(), ", trained by ", r[number].trained.ranks(), "\n");
    };
    for (std::size_t g = 0; g < m.groups().size(); ++g)
        for (const auto& run : r.runs(group_id(g))) {
            out += text("neuron group '", m.groups()[g].name, "', neurons [", run.begin, ", ", run.end, ")");
            add(run.residents);
        }
    for (std::size_t b = 0; b < m.blocks().size(); ++b) {
        out += text("block '", m.blocks()[b].name, "'");
        add(r.of(block_id(b)));
    }
    return out;
}

} // namespace sdp::detail
