// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "common/learning/probe.hpp"

#include <sdp/random.hpp>

#include <ATen/ATen.h>

#include <doctest/doctest.h>

using namespace trainer;

TEST_CASE("the squared length of an expectation is estimated from products of different draws")
{
    squared_expectation e;
    e.add(at::tensor({1.0, 2.0}));
    e.add(at::tensor({3.0, -1.0}));
    CHECK(e.value() == doctest::Approx(1)); // their product; twice, over 2·1
    e.add(at::tensor({0.0, 4.0}));
    CHECK(e.value() == doctest::Approx((1 + 8 - 4) / 3.0));
}

TEST_CASE("the estimate has no bias where the mean's own length has much")
{
    // The mean is (3, 0, 0, …), the noise in each of 100 directions as large: 8 draws have a mean of squared length 9 + 100/8.
    double sum = 0;
    constexpr int repetitions = 400;
    const sdp::counter_generator random(7, 0);
    std::uint64_t next = 0;
    for (int r = 0; r < repetitions; ++r) {
        squared_expectation e;
        for (int draw = 0; draw < 8; ++draw) {
            auto x = at::empty({100}, at::kDouble);
            for (int i = 0; i < 100; ++i)
                x.data_ptr<double>()[i] = (i == 0 ? 3 : 0) + random.normal(next++);
            e.add(x);
        }
        sum += e.value();
    }
    CHECK(sum / repetitions == doctest::Approx(9).epsilon(0.04)); // about five standard errors
}
