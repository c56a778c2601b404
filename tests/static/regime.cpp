// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "support/archetypes.hpp"

#include <sdp/masking/backward.hpp>
#include <sdp/masking/forward.hpp>

namespace {

using namespace archetypes;

static_assert(sdp::masking_regime<minimal_regime>);
static_assert(!sdp::masking_regime<regime_without_trained_by>);
static_assert(!sdp::masking_regime<regime_without_stored_by>);
static_assert(!sdp::masking_regime<regime_returning_a_count>);
static_assert(!sdp::masking_regime<regime_that_changes_itself>);

static_assert(sdp::masking_regime<sdp::forward_masking>);
static_assert(sdp::masking_regime<sdp::backward_masking>);

} // namespace
