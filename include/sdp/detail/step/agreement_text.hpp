// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Texts, a line per fact, by which ranks compare what they were built from.

#include <sdp/masking/residency.hpp>
#include <sdp/synchronizer_options.hpp>

#include <string>

namespace sdp::detail {

[[nodiscard]] std::string describe(const model& m);

[[nodiscard]] std::string describe(const synchronizer_options& o);

[[nodiscard]] std::string describe(const model& m, const assignment& a);

[[nodiscard]] std::string describe(const model& m, const residency& r);

} // namespace sdp::detail

#ifndef SDP_SEPARATE_COMPILATION
#include <sdp/src/detail/step/agreement_text.ipp>
#endif
