// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <sdp/adapters/torch.hpp>
#include <sdp/random.hpp>
#include <sdp/subnetwork.hpp>

#include <ATen/ATen.h>

#include <doctest/doctest.h>

#include <string>

namespace {

static_assert(sdp::tensor<at::Tensor>);
static_assert(sdp::viewable<const at::Tensor&>);

/// Worker 0 of 2 keeps rows 1–2 and columns 0 and 3 of a 4×5 matrix.
sdp::slab some_slab()
{
    return {sdp::parameter_id {}, true, {{{1, 3}}, {{0, 1}, {3, 4}}}, {2, 2}, {4, 5}};
}

at::Tensor counted(at::IntArrayRef shape)
{
    return at::arange(at::empty(shape).numel(), at::kFloat).view(shape);
}

template <class F> std::string error_of(F f)
{
    try {
        f();
    } catch (const sdp::error& e) {
        return e.what();
    }
    return "nothing was thrown";
}

std::string refusal(const at::Tensor& t)
{
    return error_of([&] { return sdp::view_of(t); });
}

} // namespace

TEST_CASE("a contiguous tensor is seen with its shape, type and place")
{
    const auto t = at::zeros({2, 3, 4}, at::kDouble);
    const auto view = sdp::view_of(t);
    CHECK(view.data == t.data_ptr());
    CHECK(view.shape == sdp::extents {2, 3, 4});
    CHECK(view.strides == sdp::extents {12, 4, 1});
    CHECK(view.type == sdp::element_type::f64);
    CHECK(view.space == sdp::memory_space::host);
    CHECK_FALSE(view.flat);
    CHECK(view.contiguous());
}

TEST_CASE("every element type of the library is recognised, others are refused by name")
{
    CHECK(sdp::view_of(at::zeros({1}, at::kFloat)).type == sdp::element_type::f32);
    CHECK(sdp::view_of(at::zeros({1}, at::kHalf)).type == sdp::element_type::f16);
    CHECK(sdp::view_of(at::zeros({1}, at::kBFloat16)).type == sdp::element_type::bf16);
    CHECK(refusal(at::zeros({1}, at::kLong)).find("element type Long") != std::string::npos);
    static_assert(sdp::element_type_of<c10::Half>::value == sdp::element_type::f16);
    static_assert(sdp::element_type_of<c10::BFloat16>::value == sdp::element_type::bf16);
}

TEST_CASE("a scalar has no axes and one element")
{
    const auto view = sdp::view_of(at::scalar_tensor(3));
    CHECK(view.shape.empty());
    CHECK(view.size() == 1);
}

TEST_CASE("transposed, narrowed and stepped tensors keep their strides")
{
    const auto base = counted({6, 8});
    const auto transposed = sdp::view_of(base.t());
    CHECK(transposed.shape == sdp::extents {8, 6});
    CHECK(transposed.strides == sdp::extents {1, 8});
    CHECK_FALSE(transposed.contiguous());

    const auto inner = base.narrow(0, 2, 3).narrow(1, 4, 2);
    CHECK(sdp::view_of(inner).data == base.data_ptr<float>() + 2 * 8 + 4);
    CHECK(sdp::view_of(inner).strides == sdp::extents {8, 1});

    const auto stepped = base.slice(1, 1, 8, 3);
    CHECK(sdp::view_of(stepped).shape == sdp::extents {6, 3});
    CHECK(sdp::view_of(stepped).strides == sdp::extents {8, 3});
}

TEST_CASE("what cannot be read and written in place is refused")
{
    CHECK(refusal(at::Tensor()).find("undefined") != std::string::npos);
    CHECK(refusal(at::zeros({1, 4}).expand({3, 4})).find("broadcast along axis 0") != std::string::npos);
    CHECK(refusal(at::zeros({2, 2}).to_sparse()).find("sparse") != std::string::npos);
    CHECK(refusal(at::_neg_view(at::zeros({2}))).find("resolve_neg") != std::string::npos);
    CHECK(refusal(at::empty({2}, at::TensorOptions(at::kMeta).dtype(at::kFloat))).find("device meta") != std::string::npos);
    // One element cannot be broadcast, whatever its stride.
    CHECK(sdp::view_of(at::zeros({1}).expand({1})).size() == 1);
}

TEST_CASE("slices are taken from and put back into strided tensors")
{
    const auto slab = some_slab();
    const auto expected = at::tensor({5.F, 8.F, 10.F, 13.F}).view({2, 2});
    const auto full = counted({4, 5});

    auto local = at::zeros({2, 2});
    sdp::slice(full, local, slab);
    CHECK(at::equal(local, expected));

    // The same values through a column-major full tensor and a local one that is a window of a larger one.
    const auto column_major = full.t().contiguous().t();
    auto window = at::full({4, 7}, -1).to(at::kFloat);
    auto inside = window.slice(0, 1, 4, 2).slice(1, 2, 6, 3);
    sdp::slice(column_major, inside, slab);
    CHECK(at::equal(inside, expected));
    CHECK(window.eq(-1).sum().item<std::int64_t>() == 28 - 4);

    const auto back = at::zeros({5, 4}).t();
    sdp::unslice(inside, back, slab);
    CHECK(at::equal(back, at::where(back.ne(0), full, at::zeros({4, 5}))));
    CHECK(back.ne(0).sum().item<std::int64_t>() == 4);
}

TEST_CASE("half precision is moved bit by bit")
{
    const auto slab = some_slab();
    for (const auto type : {at::kHalf, at::kBFloat16}) {
        const auto full = (counted({4, 5}) / 7).to(type);
        auto local = at::zeros({2, 2}, type);
        sdp::slice(full, local, slab);
        CHECK(at::equal(local, full.narrow(0, 1, 2).index_select(1, at::tensor({0, 3}, at::kLong))));
    }
}

TEST_CASE("a slice filled in place equals the slice of the full tensor filled in place")
{
    const sdp::counter_generator random(7, 3);
    const auto draw = [&](sdp::index_t i) { return random.normal(static_cast<std::uint64_t>(i)); };
    auto full = at::zeros({5, 4}).t(); // strided on purpose
    sdp::initialize(full, sdp::slab {sdp::parameter_id {}, true, {{{0, 4}}, {{0, 5}}}, {4, 5}, {4, 5}}, draw);
    auto local = at::zeros({2, 2});
    sdp::initialize(local, some_slab(), draw);
    CHECK(at::equal(local, full.narrow(0, 1, 2).index_select(1, at::tensor({0, 3}, at::kLong))));
    CHECK(full.std().item<double>() > 0.5);
}

TEST_CASE("a tensor of the wrong shape or type is refused with both")
{
    const auto slab = some_slab();
    auto local = at::zeros({2, 3});
    const auto shape = error_of([&] { sdp::slice(counted({4, 5}), local, slab); });
    CHECK(shape.find("[2, 3]") != std::string::npos);
    CHECK(shape.find("[2, 2]") != std::string::npos);
    auto other = at::zeros({2, 2}, at::kDouble);
    CHECK(error_of([&] { sdp::slice(counted({4, 5}), other, slab); }).find("f64") != std::string::npos);
}
