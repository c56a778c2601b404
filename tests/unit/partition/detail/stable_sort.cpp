// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <sdp/partition/detail/stable_sort.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <utility>
#include <vector>

TEST_CASE("equal elements keep their order, as with std::stable_sort")
{
    std::mt19937 random(1);
    for (const unsigned size : {0U, 1U, 2U, 17U, 1000U}) {
        std::vector<std::pair<unsigned, unsigned>> values; // the key, and the place before
        for (unsigned i = 0; i < size; ++i)
            values.push_back({static_cast<unsigned>(random() % 7), i});
        auto expected = values;
        const auto descending = [](const auto& a, const auto& b) { return a.first > b.first; };
        std::stable_sort(expected.begin(), expected.end(), descending);
        sdp::detail::stable_sort(values.begin(), values.end(), descending);
        CHECK(values == expected);
    }
}
