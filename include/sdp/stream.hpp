// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Adds the step for communicators on a stream, such as those of devices. A unit includes it where it makes a
/// `data_parallel` or `synchronizer` over such a communicator; all other units need not read the stream engine.

#include <sdp/comm/stream.hpp>
#include <sdp/detail/step/engine.hpp>
#include <sdp/detail/stream/stream_engine.hpp>

namespace sdp::detail {

template <stream_exchange C> struct engine_for<C> {
    using type = stream_engine<C>;
};

} // namespace sdp::detail
