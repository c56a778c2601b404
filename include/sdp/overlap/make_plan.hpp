// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Builds a worker's overlap plan from the residency. Local: a worker inspects only the elements it stores.

#include <sdp/overlap/plan.hpp>
#include <sdp/subnetwork.hpp>

namespace sdp {

/// Makes the plan of the worker whose subnetwork is given. Linear in the number of its pieces.
[[nodiscard]] overlap_plan make_overlap_plan(const model& m, const residency& r, const subnetwork& s);

/// Makes the plan of a worker that keeps every parameter at full size, whatever it trains: the positions of each owner's elements
/// in the assembled model. Its pieces are in the same order as those of all other plans.
[[nodiscard]] overlap_plan make_assembly_plan(const model& m, const residency& r, int rank);

} // namespace sdp

#ifndef SDP_SEPARATE_COMPILATION
#include <sdp/src/overlap/make_plan.ipp>
#endif
