// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Writes the texts by which ranks compare what they were built from.

#include <sdp/detail/step/agreement_text.hpp>
#include <sdp/src/separate.hpp>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace sdp::detail {

SDP_INLINE std::string describe(const model& m)
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
        for (const auto& axis : p.where.axes) {
            out += text(", axis ", axis.axis, " in group '", m[axis.group].name, "' by ", axis.elements_per_neuron);
            if (!axis.fused.empty())
                out += text(" fused from ", axis.fused);
        }
        out += '\n';
    }
    return out;
}

SDP_INLINE std::string describe(const synchronizer_options& o)
{
    return text("normalizer ", o.normalizer == normalizer::holders ? "holders" : "world", "\nupdate mode ",
        o.update == update_mode::average ? "average" : "owner_update", "\nbucket_bytes ", o.bucket_bytes, "\nroute ",
        name_of(o.route), "\nwire ", name_of(o.wire), "\nshared_gradients ", o.shared_gradients ? "yes" : "no", "\nroute costs ",
        o.costs.messages.round_us, " ", o.costs.messages.byte_ns, " ", o.costs.memory.round_us, " ", o.costs.memory.byte_ns,
        "\n");
}

/// Texts by number, each made when it is first asked for: units are many, holder sets few.
template <class Make> class remembered_texts {
public:
    remembered_texts(std::size_t count, Make make)
        : texts_(count)
        , make_(std::move(make))
    {
    }
    [[nodiscard]] const std::string& operator[](std::uint32_t number)
    {
        if (texts_[number].empty())
            texts_[number] = make_(number);
        return texts_[number];
    }

private:
    std::vector<std::string> texts_;
    Make make_;
};

/// Appends "neuron group 'name', neurons [begin, end)".
inline void describe_run(std::string& out, const std::string& group, index_t begin, index_t end)
{
    out += "neuron group '";
    out += group;
    out += "', neurons [";
    out += std::to_string(begin);
    out += ", ";
    out += std::to_string(end);
    out += ')';
}

SDP_INLINE std::string describe(const model& m, const assignment& a)
{
    std::string out;
    remembered_texts holders(
        a.holder_set_count(), [&](std::uint32_t n) { return text(" held by ", a.holders(n).ranks(), "\n"); });
    for (std::size_t g = 0; g < a.group_count(); ++g)
        for (const auto& u : a.units(group_id(g))) {
            describe_run(out, m.groups()[g].name, u.begin, u.end);
            out += holders[u.holders];
        }
    for (std::size_t b = 0; b < a.block_count(); ++b)
        out += text("block '", m.blocks()[b].name, "'") + holders[a.holders_number(block_id(b))];
    return out;
}

SDP_INLINE std::string describe(const model& m, const residency& r)
{
    std::string out;
    remembered_texts residents(r.classes().size(), [&](std::uint32_t n) {
        const auto& who = r[n];
        return who.stored == who.trained ? text(" stored by ", who.stored.ranks(), ", trained by the same\n")
                                         : text(" stored by ", who.stored.ranks(), ", trained by ", who.trained.ranks(), "\n");
    });
    for (std::size_t g = 0; g < m.groups().size(); ++g)
        for (const auto& run : r.runs(group_id(g))) {
            describe_run(out, m.groups()[g].name, run.begin, run.end);
            out += residents[run.residents];
        }
    for (std::size_t b = 0; b < m.blocks().size(); ++b)
        out += text("block '", m.blocks()[b].name, "'") + residents[r.of(block_id(b))];
    return out;
}

} // namespace sdp::detail
