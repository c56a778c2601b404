// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "cases.hpp"

#include <sdp/tensor.hpp>

#include <doctest/doctest.h>

#include <array>
#include <list>
#include <span>
#include <vector>

namespace {

struct matrix {
    double* elements;
    std::array<long, 2> shape;
    std::array<int, 2> strides;
};

struct device_vector {
    void* address;
    int count;
};

} // namespace

template <> struct sdp::tensor_traits<matrix> {
    static double* data(const matrix& m) { return m.elements; }
    static auto shape(const matrix& m) { return m.shape; }
    static auto strides(const matrix& m) { return m.strides; }
};

template <> struct sdp::tensor_traits<device_vector> {
    static void* data(const device_vector& v) { return v.address; }
    static std::array<int, 1> shape(const device_vector& v) { return {v.count}; }
    static element_type type(const device_vector&) { return element_type::bf16; }
    static memory_space space(const device_vector&) { return memory_space::cuda; }
};

TEST_CASE("a contiguous range is a flat tensor of its elements")
{
    std::vector<float> values(6);
    const auto view = sdp::view_of(values);
    CHECK(view.data == values.data());
    CHECK(view.shape == sdp::extents {6});
    CHECK(view.strides == sdp::extents {1});
    CHECK(view.type == sdp::element_type::f32);
    CHECK(view.space == sdp::memory_space::host);
    CHECK(view.flat);
    CHECK(view.contiguous());
    CHECK(view.size() == 6);

    const std::array<double, 3> constant {};
    CHECK(sdp::view_of(constant).data == constant.data());
    CHECK(sdp::view_of(constant).type == sdp::element_type::f64);
    CHECK(sdp::view_of(std::span(values).subspan(2)).data == values.data() + 2);
    static_assert(!sdp::tensor<std::list<float>>);
    static_assert(!sdp::tensor<std::vector<int>>);
    static_assert(sdp::tensor<std::span<const double>>);
}

TEST_CASE("a trait's own strides, element type and memory space are taken over")
{
    std::vector<double> storage(20);
    const matrix transposed {storage.data(), {4, 5}, {1, 4}};
    const auto view = sdp::view_of(transposed);
    CHECK(view.shape == sdp::extents {4, 5});
    CHECK(view.strides == sdp::extents {1, 4});
    CHECK(view.type == sdp::element_type::f64);
    CHECK(!view.flat);
    CHECK(!view.contiguous());
    CHECK(sdp::view_of(matrix {storage.data(), {4, 5}, {5, 1}}).contiguous());
    CHECK(!sdp::view_of(matrix {storage.data(), {4, 2}, {5, 1}}).contiguous());
    CHECK(sdp::view_of(matrix {storage.data(), {1, 5}, {77, 1}}).contiguous()); // a stride that is never taken

    const auto device = sdp::view_of(device_vector {storage.data(), 7});
    CHECK(device.type == sdp::element_type::bf16);
    CHECK(device.space == sdp::memory_space::cuda);
    CHECK(device.strides == sdp::extents {1});
    CHECK(sdp::view_of(device).data == device.data); // a view is its own view
}

TEST_CASE("row-major strides address every element once, in order")
{
    unit::random r(3);
    for (int i = 0; i < 300; ++i) {
        sdp::extents shape;
        for (int axes = r.below(5); axes > 0; --axes)
            shape.push_back(r.between(1, 4));
        const auto strides = sdp::row_major_strides(shape);
        REQUIRE(strides.size() == shape.size());
        sdp::index_t linear = 0;
        const auto walk = [&](auto& self, std::size_t axis, sdp::index_t at) -> void {
            if (axis == shape.size()) {
                REQUIRE(at == linear++);
                return;
            }
            for (sdp::index_t n = 0; n < shape[axis]; ++n)
                self(self, axis + 1, at + n * strides[axis]);
        };
        walk(walk, 0, 0);
        REQUIRE(linear == shape.product());
    }
}

TEST_CASE("a view is made of a pointer, a shape and strides")
{
    double elements[6] {};
    const auto rows = sdp::view(elements, {2, 3});
    CHECK((rows.data == elements && rows.shape == sdp::extents {2, 3} && rows.strides == sdp::extents {3, 1}));
    CHECK((rows.type == sdp::element_type::f64 && rows.space == sdp::memory_space::host && !rows.flat && rows.contiguous()));
    const float constant[6] {};
    const auto columns = sdp::view(constant, {3, 2}, {1, 3}, sdp::memory_space::cuda);
    CHECK((columns.data == constant && columns.shape == sdp::extents {3, 2} && columns.strides == sdp::extents {1, 3}));
    CHECK((columns.type == sdp::element_type::f32 && columns.space == sdp::memory_space::cuda && !columns.contiguous()));
    CHECK(sdp::view(elements, {}).size() == 1);
    CHECK(unit::flaw([&] { (void)sdp::view(elements, {2, 3}, {1}); }, {"[2, 3]", "[1]", "stride for each axis"}) == "");
}

TEST_CASE("extents hold eight axes and counts past 32 bits")
{
    CHECK(sdp::extents {}.product() == 1);
    CHECK(sdp::extents {70'000, 70'000}.product() == 4'900'000'000);
    sdp::extents full {1, 2, 3, 4, 5, 6, 7, 8};
    CHECK(full.size() == 8);
    CHECK(unit::flaw([&] { full.push_back(9); }, {"8 axes"}) == "");
    CHECK(full == sdp::extents(std::vector<int> {1, 2, 3, 4, 5, 6, 7, 8}));
    CHECK(full != sdp::extents {1, 2, 3, 4, 5, 6, 7});
    CHECK(sdp::extents {2, 3} != sdp::extents {3, 2});
}

TEST_CASE("element types have names and sizes")
{
    using sdp::element_type;
    CHECK(sdp::size_of(element_type::f32) == 4);
    CHECK(sdp::size_of(element_type::f64) == 8);
    CHECK(sdp::size_of(element_type::f16) == 2);
    CHECK(sdp::size_of(element_type::bf16) == 2);
    CHECK(sdp::name_of(element_type::f32) == "f32");
    CHECK(sdp::name_of(element_type::f64) == "f64");
    CHECK(sdp::name_of(element_type::f16) == "f16");
    CHECK(sdp::name_of(element_type::bf16) == "bf16");
}
