// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <unit/cases.hpp>

#include <sdp/partition/block.hpp>
#include <sdp/partition/nested.hpp>
#include <sdp/partition/neuron.hpp>
#include <sdp/partition/policy.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <regex>

TEST_CASE("coverage must give a whole number of holders")
{
    for (int world = 1; world <= 64; ++world)
        for (int k = 1; k <= world; ++k)
            REQUIRE(sdp::holders_for(static_cast<double>(k) / world, world) == k);

    CHECK(unit::flaw([] { (void)sdp::holders_for(0, 4); }, {"coverage is 0", "above 0", "at most 1"}) == "");
    CHECK(unit::flaw([] { (void)sdp::holders_for(-0.5, 4); }, {"coverage is -0.5"}) == "");
    CHECK(unit::flaw([] { (void)sdp::holders_for(1.25, 4); }, {"coverage is 1.25", "at most 1"}) == "");
    CHECK(unit::flaw([] { (void)sdp::holders_for(std::nan(""), 4); }, {"coverage is nan"}) == "");
    CHECK(unit::flaw([] { (void)sdp::holders_for(0.4, 4); }, {"0.4", "4 workers", "1.6", "whole number from 1 to 4"}) == "");
    CHECK(unit::flaw([] { (void)sdp::holders_for(0.1, 8); }, {"0.1", "8 workers", "0.8"}) == "");
    CHECK(unit::flaw([] { (void)sdp::holders_for(1e-9, 8); }, {"8 workers", "whole number"}) == "");
    CHECK(unit::flaw([] { (void)sdp::holders_for(0.999, 8); }, {"0.999", "8 workers"}) == "");
}

TEST_CASE("every policy refuses a coverage without a whole number of holders, and names that match nothing")
{
    auto m = unit::llama(8, 6, 2, 2, 5);
    CHECK(unit::flaw([&] { (void)sdp::neuron_partition {.coverage = 0.3}(m, 4); }, {"0.3", "4 workers"}) == "");
    CHECK(unit::flaw([&] { (void)sdp::block_partition {.coverage = 0}(m, 4); }, {"coverage is 0"}) == "");
    CHECK(unit::flaw([&] { (void)sdp::neuron_partition {.coverage = 0.5, .groups = "heads"}(m, 4); }, {"'heads'", "4 groups"})
        == "");
    CHECK(
        unit::flaw([&] { (void)sdp::block_partition {.coverage = 0.5, .blocks = "layer9.*"}(m, 4); }, {"'layer9.*'", "4 blocks"})
        == "");
    CHECK(unit::flaw(
              [&] { (void)sdp::neuron_partition {.coverage = 0.5, .granularity = 0}(m, 4); }, {"granularity is 0", "at least 1"})
        == "");
    CHECK(
        unit::flaw([&] { (void)sdp::neuron_partition {.coverage = 0.5, .granularity = -3}(m, 4); }, {"granularity is -3"}) == "");
    CHECK(unit::flaw([&] { (void)sdp::neuron_partition {.coverage = 0.5}(sdp::model {}, 4); }, {"no parameters"}) == "");
    CHECK(unit::flaw([&] { (void)sdp::pinned {}(m, 0); }, {"0 workers"}) == "");
}

TEST_CASE("holders say the same as coverage, and exactly one of the two is given")
{
    const auto m = unit::llama(8, 6, 2, 2, 5);
    for (const int k : {1, 2, 4, 8}) {
        const double coverage = k / 8.0;
        CHECK(sdp::neuron_partition {.holders = k, .seed = 3}(m, 8)
            == sdp::neuron_partition {.coverage = coverage, .seed = 3}(m, 8));
        CHECK(
            sdp::block_partition {.holders = k, .seed = 3}(m, 8) == sdp::block_partition {.coverage = coverage, .seed = 3}(m, 8));
        if (k > 1)
            CHECK(sdp::nested_partition {{.holders = k}, {.holders = 2}}(m, 8)
                == sdp::nested_partition {{.coverage = coverage}, {.coverage = 2.0 / k}}(m, 8));
    }
    CHECK(sdp::neuron_partition {.holders = 3}(m, 8).world() == 8); // 3/8 needs no decimals

    const auto refused = [&](const auto& policy, std::initializer_list<std::string_view> words) {
        CHECK(unit::flaw([&] { (void)policy(m, 4); }, words) == "");
    };
    refused(sdp::neuron_partition {}, {"neither coverage nor holders", ".coverage = 0.5 or .holders = 2"});
    refused(sdp::block_partition {}, {"neither coverage nor holders"});
    refused(sdp::neuron_partition {.coverage = 0.5, .holders = 2}, {"coverage 0.5 and holders 2", "both", "one of them"});
    refused(sdp::block_partition {.coverage = 0.5, .holders = 3}, {"coverage 0.5 and holders 3", "both"});
    refused(sdp::neuron_partition {.holders = 0}, {"holders is 0", "1 to 4"});
    refused(sdp::block_partition {.holders = 5}, {"holders is 5", "1 to 4"});
    refused(sdp::nested_partition {{.holders = 2}, {.holders = 3}}, {"holders is 3", "1 to 2"});
    refused(sdp::nested_partition {{.holders = 2}, {}}, {"neither coverage nor holders"});
}

TEST_CASE("pinned leaves everything to everybody")
{
    const auto m = unit::llama(8, 6, 2, 2, 5);
    CHECK(sdp::pinned {}(m, 5) == sdp::assignment(m, 5));
}

TEST_CASE("a pattern matches as in a shell")
{
    using sdp::detail::matches;
    CHECK(matches("*", ""));
    CHECK(matches("", ""));
    CHECK(!matches("", "a"));
    CHECK(!matches("?", ""));
    CHECK(matches("layer?.heads", "layer3.heads"));
    CHECK(!matches("layer?.heads", "layer13.heads"));
    CHECK(matches("*.heads", "layer13.heads"));
    CHECK(!matches("*.heads", "layer13.heads.more"));

    unit::random r(11);
    for (int i = 0; i < 3000; ++i) {
        std::string pattern, name, expression;
        for (int n = r.below(6); n > 0; --n)
            pattern += "ab*?"[r.below(4)];
        for (int n = r.below(8); n > 0; --n)
            name += "ab"[r.below(2)];
        for (const char c : pattern)
            expression += c == '*' ? ".*" : c == '?' ? "." : std::string(1, c);
        CAPTURE(pattern);
        CAPTURE(name);
        REQUIRE(matches(pattern, name) == std::regex_match(name, std::regex(expression)));
    }
}

TEST_CASE("combined gives each group and block the holders of the one policy that selects it")
{
    const auto m = unit::llama(8, 6, 3, 2, 5);
    const sdp::neuron_partition heads {.coverage = 0.5, .seed = 3, .groups = "*.heads"},
        neurons {.coverage = 0.25, .granularity = 2, .seed = 4, .groups = "layer0.neurons"};
    const sdp::block_partition feeds {.coverage = 0.75, .seed = 5, .blocks = "layer[12].feed"},
        second {.coverage = 0.75, .blocks = "layer2.feed"};
    CHECK_THROWS_AS((void)feeds(m, 4), sdp::error); // only * and ? are special
    const auto a = sdp::combined(heads, neurons, second)(m, 4);
    const auto a_heads = heads(m, 4), a_neurons = neurons(m, 4), a_second = second(m, 4);
    const auto same_units = [&](sdp::group_id g, const sdp::assignment& x) {
        return std::ranges::equal(a.units(g), x.units(g),
            [&](const auto& u, const auto& v) { return u.begin == v.begin && u.end == v.end && a.holders(u) == x.holders(v); });
    };
    for (std::size_t g = 0; g < m.groups().size(); ++g) {
        const auto id = sdp::group_id(g);
        const bool is_head = m[id].name.ends_with("heads");
        const bool is_first = m[id].name == "layer0.neurons";
        CHECK(same_units(id, is_head ? a_heads : is_first ? a_neurons : sdp::assignment(m, 4)));
        CHECK(a.partitioned(id) == (is_head || is_first));
    }
    for (std::size_t b = 0; b < m.blocks().size(); ++b) {
        const auto id = sdp::block_id(b);
        CHECK(a.holders(id) == (m[id].name == "layer2.feed" ? a_second.holders(id) : sdp::rank_set::all(4)));
    }

    // The order of the policies does not matter, and combinations nest.
    CHECK(sdp::combined(second, heads, neurons)(m, 4) == a);
    CHECK(sdp::combined(sdp::combined(heads, sdp::pinned {}), sdp::combined(neurons, second))(m, 4) == a);
    CHECK(sdp::combined()(m, 4) == sdp::assignment(m, 4));
    static_assert(sdp::partition_policy<sdp::combined<sdp::neuron_partition, sdp::block_partition>>);
}

TEST_CASE("two policies must not assign the same group or block")
{
    const auto m = unit::llama(8, 6, 2, 2, 5);
    const sdp::neuron_partition all {.coverage = 0.5}, heads {.coverage = 0.5, .groups = "*.heads"};
    const sdp::block_partition every {.coverage = 0.5}, feed {.coverage = 0.5, .blocks = "layer1.feed"};
    CHECK(unit::flaw([&] { (void)sdp::combined(all, heads)(m, 2); }, {"neuron group", "'layer0.heads'", "two"}) == "");
    CHECK(unit::flaw([&] { (void)sdp::combined(feed, every)(m, 2); }, {"block", "'layer1.feed'", "two"}) == "");
    CHECK_NOTHROW((void)sdp::combined(all, every)(m, 2));
}
