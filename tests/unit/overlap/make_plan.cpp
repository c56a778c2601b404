// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <unit/cases.hpp>

#include <sdp/diagnostics.hpp>
#include <sdp/masking/backward.hpp>
#include <sdp/masking/forward.hpp>
#include <sdp/overlap/make_plan.hpp>
#include <sdp/partition/block.hpp>
#include <sdp/partition/nested.hpp>
#include <sdp/partition/neuron.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <tuple>

namespace {

using sdp::index_t;

/// A plan told element by element, in the order of its pieces.
struct listed {
    sdp::parameter_id parameter;
    index_t element; ///< row-major, in the full tensor
    int owner;
    unit::mask trainers;
    unit::mask readers;
    std::size_t slab;
};

std::vector<listed> list(const sdp::overlap_plan& plan, const sdp::model& m, auto slabs_of)
{
    std::vector<listed> out;
    for (std::size_t p = 0; p < m.parameters().size(); ++p) {
        const auto id = sdp::parameter_id(p);
        std::vector<std::vector<index_t>> elements;
        for (const auto& slab : slabs_of(id))
            elements.push_back(unit::elements_of(slab, m[id].shape));
        for (const auto& piece : plan.of(p)) {
            const auto& c = plan.class_of(piece);
            const std::size_t slab = piece.slab;
            REQUIRE(slab < elements.size());
            REQUIRE(std::size_t {piece.owner} < c.trainers.size());
            REQUIRE(plan.size_of(piece) > 0);
            unit::for_each_element(plan, piece, [&](std::uint64_t at) {
                REQUIRE(at < elements[slab].size());
                out.push_back(
                    {id, elements[slab][at], c.trainers[piece.owner], unit::mask_of(c.trainers), unit::mask_of(c.readers), slab});
            });
        }
    }
    return out;
}

using place = std::pair<sdp::parameter_id, index_t>;

std::vector<place> places(const std::vector<listed>& all, auto selected)
{
    std::vector<place> out;
    for (const auto& e : all)
        if (selected(e))
            out.push_back({e.parameter, e.element});
    return out;
}

/// Every plan covers what its worker stores once, all agree on owners, and both ends of a message list the same.
void check_plans(const unit::scene& s, std::uint64_t seed)
{
    unit::random r(seed + 77);
    CAPTURE(seed);
    std::vector<std::vector<listed>> all;
    std::map<place, int> owner;
    std::map<std::pair<unit::mask, unit::mask>, std::map<int, std::uint64_t>> owned; // class → owner → elements
    for (int rank = 0; rank < s.world; ++rank) {
        // Each worker chooses its own layout of values: that is no matter of agreement.
        const sdp::subnetwork mine(
            s.model, s.residents, rank, r.chance(50) ? sdp::value_layout::split : sdp::value_layout::whole);
        const auto plan = sdp::make_overlap_plan(s.model, s.residents, mine);
        REQUIRE(plan.rank == rank);
        REQUIRE(plan.world == s.world);
        REQUIRE(plan.first_piece.size() == s.model.parameters().size() + 1);
        all.push_back(list(plan, s.model, [&](sdp::parameter_id p) { return mine.slabs(p); }));

        std::vector<std::vector<int>> covered;
        for (const auto& p : s.model.parameters())
            covered.emplace_back(static_cast<std::size_t>(p.size()), 0);
        for (const auto& e : all.back()) {
            const auto p = sdp::index_of(e.parameter);
            const auto i = static_cast<std::size_t>(e.element);
            ++covered[p][i];
            REQUIRE(e.trainers == s.elements.trained[p][i]);
            REQUIRE(e.readers == (s.elements.stored[p][i] & ~s.elements.trained[p][i]));
            const auto [known, added] = owner.emplace(place {e.parameter, e.element}, e.owner);
            REQUIRE(known->second == e.owner);
            if (e.owner == rank)
                ++owned[{e.trainers, e.readers}][rank];
            // The first slab has the trained part and its gradient.
            if (unit::has(e.trainers, rank))
                REQUIRE(e.slab == 0);
        }
        for (std::size_t p = 0; p < covered.size(); ++p)
            for (std::size_t i = 0; i < covered[p].size(); ++i)
                REQUIRE(covered[p][i] == (unit::has(s.elements.stored[p][i], rank) ? 1 : 0));

        for (const auto& c : plan.classes) {
            REQUIRE(std::is_sorted(c.trainers.begin(), c.trainers.end()));
            REQUIRE(std::is_sorted(c.readers.begin(), c.readers.end()));
            REQUIRE(unit::has(unit::mask_of(c.trainers) | unit::mask_of(c.readers), rank));
            REQUIRE((c.position >= 0) == unit::has(unit::mask_of(c.trainers), rank));
            if (c.position >= 0)
                REQUIRE(c.trainers[static_cast<std::size_t>(c.position)] == rank);
            std::uint64_t elements = 0;
            for (std::size_t p = 0; p < s.model.parameters().size(); ++p)
                for (std::size_t i = 0; i < s.elements.trained[p].size(); ++i)
                    elements += s.elements.trained[p][i] == unit::mask_of(c.trainers)
                            && (s.elements.stored[p][i] & ~s.elements.trained[p][i]) == unit::mask_of(c.readers)
                        ? 1
                        : 0;
            REQUIRE(c.elements == elements);
        }
    }

    // Owned counts are the closed form: the class's elements over its trainers, the first ones get the remainder.
    std::size_t elements = 0;
    for (const auto& [who, by_owner] : owned) {
        std::uint64_t total = 0;
        for (const auto& [rank, n] : by_owner)
            total += n;
        const auto k = static_cast<std::uint64_t>(unit::count(who.first));
        std::uint64_t position = 0;
        for (int rank = 0; rank < s.world; ++rank)
            if (unit::has(who.first, rank)) {
                const auto found = by_owner.find(rank);
                REQUIRE((found == by_owner.end() ? 0 : found->second) == total / k + (position < total % k ? 1 : 0));
                ++position;
            }
        elements += total;
    }
    REQUIRE(elements == static_cast<std::size_t>(s.model.size())); // everything has an owner

    for (int a = 0; a < s.world; ++a)
        for (int b = 0; b < s.world; ++b) {
            if (a == b)
                continue;
            const auto& mine = all[static_cast<std::size_t>(a)];
            const auto& yours = all[static_cast<std::size_t>(b)];
            const auto reduced = [&](const listed& e) { return e.owner == b && unit::has(e.trainers, a); };
            REQUIRE(places(mine, reduced) == places(yours, reduced));
            const auto read = [&](const listed& e) { return e.owner == b && unit::has(e.readers, a); };
            REQUIRE(places(mine, read) == places(yours, read));
            const auto swapped = [&](const listed& e) { return e.trainers == ((unit::mask {1} << a) | (unit::mask {1} << b)); };
            REQUIRE(places(mine, swapped) == places(yours, swapped));
        }

    // The assembly plan covers the full model, with the same owners, and the owner's elements in the owner's order.
    const int root = r.below(s.world);
    std::vector<sdp::slab> whole;
    for (std::size_t p = 0; p < s.model.parameters().size(); ++p) {
        auto& slab = whole.emplace_back();
        for (const auto extent : s.model.parameters()[p].shape)
            slab.axes.push_back({{0, extent}});
    }
    const auto assembled = list(sdp::make_assembly_plan(s.model, s.residents, root), s.model,
        [&](sdp::parameter_id p) { return std::span(&whole[sdp::index_of(p)], 1); });
    REQUIRE(assembled.size() == static_cast<std::size_t>(s.model.size()));
    std::set<place> distinct;
    for (const auto& e : assembled) {
        distinct.insert({e.parameter, e.element});
        REQUIRE(owner.at({e.parameter, e.element}) == e.owner);
    }
    REQUIRE(distinct.size() == assembled.size());
    for (int rank = 0; rank < s.world; ++rank) {
        const auto owns = [&](const listed& e) { return e.owner == rank; };
        REQUIRE(places(assembled, owns) == places(all[static_cast<std::size_t>(rank)], owns));
    }
}

} // namespace

TEST_CASE("every plan covers what its worker stores once, all agree on owners, and both ends of a message list the same")
{
    for (std::uint64_t seed = 0; seed < 700; ++seed)
        check_plans(unit::random_scene(seed), seed);
}

TEST_CASE("the plans of bounded designs are as those of any other")
{
    int planned = 0;
    for (std::uint64_t seed = 0; seed < 240; ++seed) {
        unit::random r(seed + 5);
        const int inner = r.between(1, 3), outer = inner * r.between(1, 3), world = outer * r.between(1, 3);
        const auto design = r.chance(60) ? sdp::holder_design::cells : sdp::holder_design::cyclic;
        const sdp::neuron_partition neurons {.coverage = static_cast<double>(inner) / outer,
            .granularity = r.between(1, 2),
            .seed = seed,
            .design = design,
            .divisions = r.between(2, 4)};
        const sdp::block_partition blocks {
            .coverage = static_cast<double>(outer) / world, .seed = seed, .design = design, .divisions = 2};
        auto m = unit::llama(4, r.between(5, 14), r.between(1, 2), 2, 3);
        auto on_whole = neurons;
        on_whole.coverage = static_cast<double>(outer) / world;
        const auto blocks_fit = static_cast<int>(m.blocks().size()) * outer >= world;
        auto holders = seed % 2 == 0 && blocks_fit ? sdp::nested_partition {blocks, neurons}(m, world) : on_whole(m, world);
        const unit::any_regime regime {static_cast<unit::any_regime::kind>(seed / 2 % 4)};
        auto elements = unit::elements_of(m, holders, regime);
        if (!elements.complete())
            continue;
        ++planned;
        auto residents = sdp::residency(m, holders, regime);
        check_plans({std::move(m), world, std::move(holders), regime, std::move(elements), std::move(residents)}, seed);
    }
    CHECK(planned > 150);
}

TEST_CASE("what a plan takes does not grow with the elements that a run covers, nor with the rows that repeat it")
{
    for (const index_t columns : {10, 1000, 100'000})
        for (const bool split_columns : {false, true}) {
            sdp::model m;
            const auto g = m.add_group("group", 64);
            if (split_columns)
                m.add_parameter("matrix", {columns, 64}, {.axes = {{1, g}}});
            else
                m.add_parameter("matrix", {64, columns}, {.axes = {{0, g}}});
            const auto a = sdp::neuron_partition {.coverage = 0.5}(m, 4);
            const sdp::residency residents(m, a, sdp::forward_masking {});
            const auto plan = sdp::make_overlap_plan(m, residents, sdp::subnetwork(m, residents, 0));
            // At most: classes of rank 0, shares of each, and their ragged ends; once more per block of rows where runs are
            // short.
            const auto blocks = split_columns ? static_cast<std::size_t>(columns * 64 / 32768 + 1) : 1;
            CHECK(plan.pieces.size() <= 3 * (2 * 3 + blocks));
            CHECK(plan.runs.size() <= 3 * 2 * 3);
        }
}

TEST_CASE("with hundreds of trainers, small parameters have few owners, and formulas and plans still agree")
{
    for (const int world : {256, 257, 600, 1030}) {
        sdp::model m;
        const auto g = m.add_group("group", 8);
        for (const index_t size : {1, 100, 255, 600, 2000, 5000})
            m.add_parameter("pinned" + std::to_string(size), {size});
        m.add_parameter("split", {4, 8 * 50}, {.axes = {{1, g}}});
        sdp::assignment a(m, world);
        std::vector<int> most(static_cast<std::size_t>(world) - 1);
        std::iota(most.begin(), most.end(), 0);
        a.assign(g, std::vector<sdp::neuron_unit> {{0, 3, sdp::rank_set(most)}, {3, 8, sdp::rank_set::all(world)}});
        const sdp::residency residents(m, a, sdp::forward_masking {});
        std::vector<std::map<index_t, int>> owner(m.parameters().size());
        std::vector<std::set<int>> owners(m.parameters().size());
        const auto shares = sdp::worker_shares(m, residents);
        std::map<std::pair<int, std::size_t>, index_t> owned; // rank and size of the class → elements
        for (const int rank : {0, 1, world / 2, world - 2, world - 1}) {
            const sdp::subnetwork mine(m, residents, rank);
            const auto plan = sdp::make_overlap_plan(m, residents, mine);
            index_t here = 0;
            std::uint64_t sent = 0;
            for (std::size_t p = 0; p < m.parameters().size(); ++p) {
                const auto elements = unit::elements_of(mine.slabs(sdp::parameter_id(p))[0], m.parameters()[p].shape);
                std::size_t covered = 0;
                for (const auto& piece : plan.of(p))
                    unit::for_each_element(plan, piece, [&](std::uint64_t at) {
                        ++covered;
                        const int who = plan.owner_of(piece);
                        const auto [known, added] = owner[p].emplace(elements[at], who);
                        REQUIRE(known->second == who);
                        owners[p].insert(who);
                        here += who == rank ? 1 : 0;
                        sent += who == rank ? plan.class_of(piece).trainers.size() - 1 : 1;
                    });
                REQUIRE(covered == elements.size());
            }
            REQUIRE(here == shares[static_cast<std::size_t>(rank)].owned);
            REQUIRE(4 * sent == sdp::bytes_per_step(m, residents, rank));
        }
        index_t sum = 0;
        for (const auto& w : shares) {
            sum += w.owned;
            const index_t mean = m.size() / world, grain = (world + 255) / 256;
            CHECK(std::abs(w.owned - mean) <= 2 * grain + 3); // two classes, each even to within a grain; some grains are short
        }
        CHECK(sum == m.size());
        for (std::size_t p = 0; p + 1 < owners.size(); ++p) {
            const auto size = static_cast<std::size_t>(m.parameters()[p].size()),
                       grain = (static_cast<std::size_t>(world) + 255) / 256;
            CHECK(owners[p].size() == std::min((size + grain - 1) / grain, static_cast<std::size_t>(world)));
        }
    }
}

TEST_CASE("parameters of more than 2^32 elements are planned without overflow, and nothing of that size is allocated")
{
    struct shape {
        sdp::extents full;
        std::vector<int> axes;
    };
    // Whole; by rows; by columns; by both; and with rows that are further apart than a stride can say.
    const std::vector<shape> shapes {{{70'000, 70'000}, {}}, {{70'000, 70'000}, {0}}, {{70'000, 70'000}, {1}},
        {{70'000, 70'000}, {0, 1}}, {{3, 70'000, 70'000}, {1}}, {{8, 70'000, 70'000}, {1}}, {{3, 70'000, 70'000}, {0}}};
    for (const auto& [full, axes] : shapes)
        for (const bool forward : {true, false}) {
            sdp::model m;
            sdp::placement where;
            for (const int axis : axes) {
                const auto extent = full[static_cast<std::size_t>(axis)];
                const auto g = m.add_group("group" + std::to_string(axis), extent == 3 ? 3 : 20);
                where.axes.push_back({axis, g});
            }
            m.add_parameter("huge", full, where);
            const int world = 4;
            const auto a = axes.empty() ? sdp::assignment(m, world)
                                        : sdp::neuron_partition {.coverage = axes.size() == 2 ? 0.75 : 0.5, .seed = 3}(m, world);
            const auto residents
                = forward ? sdp::residency(m, a, sdp::forward_masking {}) : sdp::residency(m, a, sdp::backward_masking {});
            std::uint64_t owned = 0;
            for (int rank = 0; rank < world; ++rank) {
                const sdp::subnetwork mine(m, residents, rank);
                const auto plan = sdp::make_overlap_plan(m, residents, mine);
                const auto size = static_cast<std::uint64_t>(mine.stored_elements());
                // Every stretch, sorted: they meet end to end.
                std::vector<std::pair<std::uint64_t, std::uint64_t>> rows;
                std::map<std::uint32_t, std::vector<std::uint64_t>> by_owner;
                for (const auto& piece : plan.pieces) {
                    auto& shares = by_owner[piece.sharing_class];
                    shares.resize(plan.class_of(piece).trainers.size());
                    shares[piece.owner] += plan.size_of(piece);
                    owned += plan.owner_of(piece) == rank ? plan.size_of(piece) : 0;
                    for (std::uint64_t row = 0; row < piece.rows; ++row)
                        for (const auto& run : plan.runs_of(piece))
                            rows.push_back({piece.start + row * piece.stride + run.offset, std::uint64_t {run.length}});
                }
                std::sort(rows.begin(), rows.end());
                std::uint64_t next = 0;
                std::size_t gaps = 0;
                for (const auto& [start, length] : rows) {
                    gaps += start != next ? 1 : 0;
                    next = start + length;
                }
                CHECK(gaps == 0);
                CHECK(next == size);
                for (const auto& [number, shares] : by_owner)
                    for (std::size_t at = 0; at < shares.size(); ++at)
                        CHECK(shares[at] == plan.classes[number].owned(at));
            }
            CHECK(owned == static_cast<std::uint64_t>(m.size()));
        }
}

TEST_CASE("one worker owns everything, in runs as long as a run can be")
{
    sdp::model m;
    m.add_parameter("huge", {70'000, 70'000});
    const sdp::residency residents(m, sdp::assignment(m, 1), sdp::forward_masking {});
    const auto plan = sdp::make_overlap_plan(m, residents, sdp::subnetwork(m, residents, 0));
    REQUIRE(plan.pieces.size() == 1);
    CHECK(plan.size_of(plan.pieces[0]) == 4'900'000'000);
    std::uint64_t next = 0;
    for (const auto& run : plan.runs) {
        CHECK(std::uint64_t {run.offset} == next);
        next += run.length;
    }
    CHECK(next == 4'900'000'000);
    CHECK(plan.runs.size() == 4'900'000'000 / sdp::pattern_run::most + 1);
}

TEST_CASE("a local tensor beyond what a run can address is refused")
{
    sdp::model m;
    m.add_parameter("vast", {sdp::index_t {1} << 36});
    const sdp::residency residents(m, sdp::assignment(m, 1), sdp::forward_masking {});
    CHECK(unit::flaw([&] { (void)sdp::make_overlap_plan(m, residents, sdp::subnetwork(m, residents, 0)); },
              {"'vast'", "rank 0", "68719476736", "2^36"})
        == "");
}

TEST_CASE("more than 2^32 rows do not become as many pieces")
{
    sdp::model tall;
    const auto columns = tall.add_group("columns", 2);
    tall.add_parameter("tall", {5'000'000'000, 2}, {.axes = {{1, columns}}});
    sdp::assignment a(tall, 2);
    a.assign(columns, std::vector<sdp::neuron_unit> {{0, 1, {0}}, {1, 2, {1}}});
    const sdp::residency residents(tall, a, sdp::backward_masking {});
    const auto plan = sdp::make_overlap_plan(tall, residents, sdp::subnetwork(tall, residents, 0));
    REQUIRE(plan.pieces.size() <= 2 * (1024 + 1)); // two columns, 1024 blocks of rows at most, each column cut once more
    std::uint64_t next[] = {0, 1};
    for (const auto& piece : plan.pieces) {
        REQUIRE(plan.runs_of(piece).size() == 1);
        const std::uint64_t column = plan.runs_of(piece)[0].offset;
        CHECK(piece.start + column == next[column]);
        CHECK(std::uint64_t {plan.runs_of(piece)[0].length} == 1);
        CHECK(piece.stride == 2);
        next[column] += 2 * std::uint64_t {piece.rows};
    }
    CHECK(next[0] == 10'000'000'000);
    CHECK(next[1] == 10'000'000'001);
}
