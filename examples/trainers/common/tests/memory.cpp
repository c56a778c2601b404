// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "common/backends/memory.hpp"

#include <ATen/ATen.h>

#include <doctest/doctest.h>

#include <cstdint>
#include <thread>

using namespace trainer;

TEST_CASE("a meter counts what its own thread allocates, until it is freed, wherever that is")
{
    install_memory_meters();
    at::Tensor kept;
    memory_meter* meter = nullptr;
    std::thread([&] {
        meter = &meter_this_thread();
        kept = at::empty({1000}, at::kFloat);
        CHECK(meter->live() == 4000);
        {
            const auto more = at::empty({500}, at::kDouble);
            const auto view = more.narrow(0, 0, 10); // shares the storage
            CHECK(meter->live() == 8000);
        }
        CHECK(meter->live() == 4000);
        CHECK(meter->peak() == 8000);
        meter->reset_peak();
        CHECK(meter->peak() == 4000);
    }).join();
    std::thread([&] {
        auto& other = meter_this_thread();
        const auto mine = at::empty({10}, at::kFloat);
        CHECK(other.live() == 40);
        kept = at::Tensor();
        CHECK(other.live() == 40);
    }).join();
    CHECK(meter->live() == 0);
    CHECK(reinterpret_cast<std::uintptr_t>(at::empty({3}).data_ptr()) % 64 == 0);
}

TEST_CASE("storages are counted once, however many tensors look at them")
{
    const auto a = at::zeros({100});
    const at::Tensor tensors[] = {a, a.t(), a.narrow(0, 5, 5), at::Tensor(), at::zeros({3}, at::kDouble)};
    CHECK(storage_bytes(tensors) == 400 + 24);
}
