// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "support/archetypes.hpp"

#include <deque>
#include <list>
#include <span>
#include <string>
#include <vector>

namespace {

using namespace archetypes;

static_assert(sdp::tensor<minimal_tensor>);
static_assert(sdp::viewable<minimal_tensor>);
static_assert(sdp::tensor<const minimal_tensor&>);

static_assert(sdp::tensor<std::vector<float>>);
static_assert(sdp::tensor<std::vector<double>&>);
static_assert(sdp::tensor<std::span<float>>);
static_assert(sdp::tensor<std::span<const double>>);
static_assert(sdp::tensor<std::array<float, 3>>);

static_assert(!sdp::tensor<tensor_without_traits>);
static_assert(!sdp::tensor<tensor_without_data>);
static_assert(!sdp::tensor<tensor_without_shape>);
static_assert(!sdp::tensor<tensor_with_a_number_for_data>);
static_assert(!sdp::tensor<tensor_with_a_number_for_shape>);
static_assert(!sdp::tensor<tensor_of_int>);
static_assert(!sdp::tensor<tensor_with_a_number_for_type>);
static_assert(!sdp::viewable<tensor_without_traits>);

// Ranges whose elements are not in one piece, or are of no supported type.
static_assert(!sdp::tensor<std::deque<float>>);
static_assert(!sdp::tensor<std::list<float>>);
static_assert(!sdp::tensor<std::vector<int>>);
static_assert(!sdp::tensor<std::vector<bool>>);
static_assert(!sdp::tensor<std::string>);
static_assert(!sdp::tensor<float*>);

// A view is accepted wherever a tensor is, without being one: its element type is a value, not a type.
static_assert(sdp::viewable<sdp::tensor_view>);
static_assert(sdp::viewable<const sdp::tensor_view&>);

static_assert(sdp::size_of(sdp::element_type::bf16) == 2);
static_assert(sdp::extents {2, 3, 4}.product() == 24);
static_assert(sdp::extents {}.product() == 1);
static_assert(sdp::row_major_strides(sdp::extents {2, 3, 4}) == sdp::extents {12, 4, 1});

} // namespace
