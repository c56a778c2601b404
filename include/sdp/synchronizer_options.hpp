// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Options of a step.

#include <sdp/comm/route_costs.hpp>
#include <sdp/subnetwork.hpp>

#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sdp {

/// Divisor of the sum of the gradients.
enum class normalizer : std::uint8_t {
    holders, ///< the number of trainers k of the element: the mean over its holders (paper)
    world, ///< the number of workers N: a step of k/N the size (ours)
};

/// Workers that apply the optimizer's update.
enum class update_mode : std::uint8_t {
    average, ///< every trainer, to the mean gradient that it gets (paper)
    owner_update, ///< only the owner, which then sends values: optimizer state shrinks to 1/k (ours, after ZeRO-1)
};

/// Route of the gradients. All but `native` give the same bits.
enum class route_choice : std::uint8_t {
    fastest, ///< what `costs` say of memory, where all holders reach each other's, and of messages
    two_sided, ///< messages to the owner, which sums and sends the mean back
    swap, ///< the same, but under `average` two trainers send each other everything at once
    memory, ///< peer memory wherever all holders reach each other's, whatever it costs; an error where the communicator has none
    native, ///< as `fastest`, but what all workers hold is summed by the transport's own all-reduce, in an order of its own
};

[[nodiscard]] constexpr std::string_view name_of(route_choice choice) noexcept
{
    switch (choice) {
    case route_choice::fastest:
        return "fastest";
    case route_choice::two_sided:
        return "two-sided";
    case route_choice::swap:
        return "swap";
    case route_choice::memory:
        return "memory";
    case route_choice::native:
        return "native";
    }
    return "unknown";
}

/// Format to which f32 gradients are rounded, to nearest, before they are summed (in f32), and the mean after. f64 and values are
/// never rounded.
enum class wire_format : std::uint8_t {
    as_is, ///< not rounded
    bf16, ///< half the bytes, the range of f32, 8 significant bits
    f16, ///< half the bytes, 11 significant bits, overflows above 65504: for gradients that the host scales
};

[[nodiscard]] constexpr std::string_view name_of(wire_format wire) noexcept
{
    return wire == wire_format::bf16 ? "bf16" : wire == wire_format::f16 ? "f16" : "as_is";
}

/// Options that may differ between ranks.
struct local_options {
    int buckets_in_flight = 4; ///< exchanges in progress at once; bounds the buffers
    std::chrono::milliseconds timeout = std::chrono::minutes(10); ///< for any one wait on peers; then a `timeout_error` is thrown
    value_layout layout = value_layout::whole;
    /// A thread of the library's own makes progress between `ready` and `finish`, for hosts that call too seldom. The
    /// communicator is then used by several threads, one at a time: MPI has to be initialised with MPI_THREAD_SERIALIZED, and the
    /// host does not use the same communicator meanwhile.
    bool progress_thread = false;
};

/// Options of a step. They must be the same on all ranks, which construction checks, except those in `local`:
/// `{.update = update_mode::owner_update, .local = {.timeout = std::chrono::seconds(60)}}`.
struct synchronizer_options {
    sdp::normalizer normalizer = sdp::normalizer::holders;
    update_mode update = update_mode::average;
    /// Bytes of full-size parameters per exchange; a larger parameter is a bucket of its own.
    std::size_t bucket_bytes = std::size_t {1} << 20;
    route_choice route = route_choice::fastest;
    route_costs costs {}; ///< costs by which `fastest` decides
    wire_format wire = wire_format::as_is;
    /// Gradients are in memory that the library provides: `synchronizer::gradient_memory`. Peers that reach each other's memory
    /// by a segment, as MPI's do, then sum there without a copy, and messages that are one stretch of a gradient leave from
    /// there.
    bool shared_gradients = false;
    local_options local {};
};

namespace detail {
    /// @throws sdp::input_error naming the option
    inline void check_options(const synchronizer_options& options)
    {
        if (options.bucket_bytes < 1)
            fail("bucket_bytes is 0; expected at least 1");
        if (options.local.buckets_in_flight < 1)
            fail("buckets_in_flight is ", options.local.buckets_in_flight, "; expected at least 1");
        for (const double cost : {options.costs.messages.round_us, options.costs.messages.byte_ns, options.costs.memory.round_us,
                 options.costs.memory.byte_ns})
            if (!(cost >= 0) || !std::isfinite(cost))
                fail("one of the route costs is ", cost, "; expected a finite number of at least 0");
        if (options.local.timeout <= std::chrono::milliseconds::zero())
            fail("timeout is ", options.local.timeout.count(), " ms; expected more than 0");
    }
} // namespace detail

} // namespace sdp
