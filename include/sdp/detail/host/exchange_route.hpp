// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The ways that gradients of a bucket go: in messages, through memory, through the transport's own all-reduce. What the
/// engine asks of each, and the way that nothing goes.
///
/// | expression      | meaning                                                                            |
/// |-----------------|------------------------------------------------------------------------------------|
/// | `w.launch(b)`   | starts with a bucket that is packed                                                |
/// | `w.push(b)`     | does what can be done without waiting                                              |
/// | `w.reduce(b)`   | waits for what this worker sums of it, and sums it                                 |
/// | `w.complete(b)` | waits until nothing of it is under way; after `reduce`                             |
/// | `w.idle(b)`     | whether nothing of it is under way                                                 |

#include <sdp/error.hpp>

#include <chrono>
#include <cstddef>
#include <string_view>

namespace sdp::detail {

/// How far a bucket is on a way.
enum class phase : unsigned char { idle, packed, reducing, publishing };

/// What a communicator cannot do.
struct absent_route {
    static void launch(std::size_t) noexcept { }
    static void push(std::size_t) noexcept { }
    static void reduce(std::size_t) noexcept { }
    static void complete(std::size_t) noexcept { }
    [[nodiscard]] static bool idle(std::size_t) noexcept { return true; }
};

/// Says in the error of a wait that takes too long which bucket it was for, and what of it.
class bucket_wait {
public:
    bucket_wait(std::size_t buckets, std::chrono::milliseconds limit)
        : buckets_(buckets)
        , limit_(limit)
    {
    }

    /// Calls `wait(limit)`.
    template <class Wait> void operator()(std::size_t b, std::string_view what, Wait wait) const
    {
        try {
            wait(limit_);
        } catch (const timeout_error& e) {
            fail_by_peer<timeout_error>(e.rank(), e.peer(), "bucket ", b, " of ", buckets_, ", ", what, ": ", e.what());
        }
    }

private:
    std::size_t buckets_;
    std::chrono::milliseconds limit_;
};

} // namespace sdp::detail
