// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <sdp/error.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

TEST_CASE("a sentence is put together from text, numbers and lists")
{
    using sdp::detail::text;
    CHECK(text() == "");
    CHECK(text("rank ", 3, " has ", 0.5, " of ", std::vector {1, 2, 3}) == "rank 3 has 0.5 of [1, 2, 3]");
    CHECK(text(std::vector<int> {}, std::vector {7}) == "[][7]");
    CHECK(text(true, ' ' == ' ', false) == "truetruefalse");
    CHECK(text(std::string("a"), std::string_view("b"), "c") == "abc");
    CHECK(text(std::vector<std::string> {"x", "y"}) == "[x, y]");
    CHECK(text(std::vector<std::vector<int>> {{1}, {2, 3}}) == "[[1], [2, 3]]");
}

TEST_CASE("numbers keep every digit")
{
    using sdp::detail::text;
    CHECK(text(std::numeric_limits<std::int64_t>::min()) == "-9223372036854775808");
    CHECK(text(std::numeric_limits<std::uint64_t>::max()) == "18446744073709551615");
    CHECK(text(std::uint8_t {65}) == "65");
    CHECK(text(0.1) == "0.1");
    CHECK(text(1.0 / 3) == "0.3333333333333333");
    CHECK(text(std::numeric_limits<double>::infinity()) == "inf");
    CHECK(text(-std::numeric_limits<double>::infinity()) == "-inf");
    CHECK(text(std::numeric_limits<double>::quiet_NaN()) == "nan");
    CHECK(text(std::numeric_limits<double>::denorm_min()) == "5e-324");
    CHECK(text(1.25F) == "1.25");
}

TEST_CASE("failures of each kind can be told apart, and all be caught as one")
{
    static_assert(std::is_base_of_v<std::runtime_error, sdp::error>);
    CHECK_THROWS_WITH_AS(sdp::detail::fail("a ", 1), "a 1", sdp::error);
    CHECK_THROWS_AS(sdp::detail::fail("a"), sdp::input_error);
    static_assert(
        std::is_base_of_v<sdp::peer_error, sdp::timeout_error> && std::is_base_of_v<sdp::peer_error, sdp::aborted_error>);
    static_assert(!std::is_base_of_v<sdp::input_error, sdp::peer_error> && !std::is_base_of_v<sdp::peer_error, sdp::input_error>);
    try {
        sdp::detail::fail_by_peer<sdp::timeout_error>(3, 5, "rank ", 3, " waited");
    } catch (const sdp::peer_error& e) {
        CHECK((e.rank() == 3 && e.peer() == 5 && std::string(e.what()) == "rank 3 waited"));
    }
    CHECK((sdp::aborted_error("of a communicator that does not say").rank() == -1 && sdp::peer_error("x").peer() == -1));
    CHECK((sdp::input_error("y").rank() == -1 && sdp::nonfinite_error("z", 2).rank() == 2));
    CHECK_THROWS_WITH_AS(sdp::detail::fail<sdp::timeout_error>("b"), "b", sdp::timeout_error);
    CHECK_THROWS_AS(sdp::detail::fail<sdp::aborted_error>("c"), sdp::error);
    CHECK_THROWS_AS(sdp::detail::fail<sdp::nonfinite_error>("d"), sdp::error);
    static_assert(!std::is_base_of_v<sdp::timeout_error, sdp::aborted_error>);
    static_assert(!std::is_base_of_v<sdp::aborted_error, sdp::timeout_error>);
}
