// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <unit/cases.hpp>

#include <sdp/overlap/plan.hpp>

#include <doctest/doctest.h>

TEST_CASE("a piece keeps its fields apart up to their largest values")
{
    static_assert(sizeof(sdp::overlap_piece) == 24);
    sdp::overlap_piece piece {};
    piece.start = (std::uint64_t {1} << 40) - 1;
    piece.owner = 65'535;
    piece.slab = 0;
    piece.rows = 0xFFFFFFFF;
    piece.stride = 1;
    piece.pattern = 1;
    piece.sharing_class = 2;
    CHECK((piece.start == 1'099'511'627'775));
    CHECK((piece.owner == 65'535));
    CHECK((piece.slab == 0));
    piece.slab = 255;
    piece.owner = 0;
    CHECK((piece.start == 1'099'511'627'775));
    CHECK((piece.owner == 0));
    CHECK((piece.slab == 255));

    static_assert(sizeof(sdp::pattern_run) == 8);
    sdp::pattern_run run {};
    run.offset = (std::uint64_t {1} << 36) - 1;
    CHECK((run.offset == 68'719'476'735));
    CHECK((run.length == 0));
    run.length = sdp::pattern_run::most;
    run.offset = 0;
    CHECK((run.length == 268'435'455));
    CHECK((run.offset == 0));
}

TEST_CASE("a class is dealt to its trainers in shares that differ by at most one")
{
    for (std::uint64_t total = 0; total < 60; ++total)
        for (int k = 1; k < 9; ++k) {
            sdp::sharing_class c;
            c.elements = total;
            std::vector<std::uint64_t> dealt(static_cast<std::size_t>(k), 0);
            for (std::uint64_t i = 0; i < total; ++i)
                ++dealt[i % dealt.size()];
            c.trainers.resize(dealt.size());
            for (std::size_t at = 0; at < dealt.size(); ++at)
                REQUIRE(c.owned(at) == dealt[at]);
        }
}

TEST_CASE("a plan finds the pieces of a parameter, their class and their owner")
{
    sdp::overlap_plan plan;
    plan.classes.resize(2);
    plan.classes[0].trainers = {0, 3};
    plan.classes[1].trainers = {2, 5, 7};
    plan.pieces.resize(3);
    for (std::uint32_t i = 0; i < 3; ++i) {
        plan.pieces[i].sharing_class = i == 0 ? 0 : 1;
        plan.pieces[i].owner = i & 0xFFFF;
        plan.pieces[i].pattern = i;
        plan.pieces[i].rows = i + 1;
        plan.patterns.push_back({plan.runs.size(), 2, 10 + i});
        plan.runs.push_back({i, 4});
        plan.runs.push_back({i + 100U, (6 + i) & sdp::pattern_run::most});
    }
    plan.first_piece = {0, 1, 1, 3};
    REQUIRE(plan.of(0).size() == 1);
    CHECK(plan.of(1).empty());
    REQUIRE(plan.of(2).size() == 2);
    CHECK(plan.size_of(plan.of(2)[0]) == 2 * 11);
    REQUIRE(plan.runs_of(plan.of(2)[0]).size() == 2);
    CHECK((plan.runs_of(plan.of(2)[0])[1].offset == 101));
    CHECK(plan.owner_of(plan.pieces[0]) == 0);
    CHECK(plan.owner_of(plan.pieces[1]) == 5);
    CHECK(plan.owner_of(plan.pieces[2]) == 7);
    CHECK(&plan.class_of(plan.pieces[2]) == &plan.classes[1]);
}
