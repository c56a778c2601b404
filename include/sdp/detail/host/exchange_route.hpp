// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Interface every route for the gradients of a bucket implements, and the no-op route for a missing capability.

#include <sdp/detail/exchange/message_round.hpp>
#include <sdp/detail/host/bucket_passes.hpp>
#include <sdp/error.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <span>
#include <string_view>

namespace sdp::detail {

/// A route for gradients: it sends packed buckets to the workers that sum them, and returns the means.
///
/// | expression                | result             | meaning                                                                  |
/// |---------------------------|--------------------|--------------------------------------------------------------------------|
/// | `R::name`                 | `std::string_view` | name in lists, if it carries `route_kind::memory`; else empty            |
/// | `r.begin_step()`          | void               | starts a step                                                            |
/// | `r.launch(b)`             | void               | starts the exchange of bucket b, which is packed                         |
/// | `r.progress(first, last)` | void               | advances these buckets without waiting                                   |
/// | `r.settle(first, last)`   | void               | notes that the host waits from now on until these buckets are complete   |
/// | `r.reduce(b)`             | void               | waits for the elements that this worker sums of b, and sums them         |
/// | `r.complete(b)`           | void               | waits until b is idle                                                    |
/// | `k.idle(b)`               | bool               | true if no message or sum of b is pending                                |
/// | `r.abandon()`             | void, noexcept     | withdraws all memory that peers could still use, since this worker stops |
/// | `k.bytes()`               | `std::size_t`      | memory of the route beside the buckets' buffers                          |
/// | `k.gradient(p)`           | `std::byte*`       | memory for the gradient of a parameter, or null                          |
/// | `k.must_hold(p)`          | bool               | true if the gradient must be in that memory                              |
///
/// Semantics the compiler cannot check:
/// - All ranks launch the buckets of a step in the same order. `settle` precedes `reduce`, and `reduce` precedes `complete`,
///   except for a bucket that `progress` has made idle.
/// - A route carries all classes of the kinds that are its own (`route_kind`), and leaves a bucket idle that has none of them.
/// - After the first step no call allocates memory.
/// - A wait that takes too long throws `timeout_error` through `bucket_wait`.
template <class R>
concept exchange_route = requires(R& r, const R& k, std::size_t b)
{
    std::string_view(R::name);
    r.begin_step();
    r.launch(b);
    r.progress(b, b);
    r.settle(b, b);
    r.reduce(b);
    r.complete(b);
    {
        k.idle(b)
        } -> std::same_as<bool>;
    requires noexcept(r.abandon());
    {
        k.bytes()
        } -> std::same_as<std::size_t>;
    {
        k.gradient(b)
        } -> std::same_as<std::byte*>;
    {
        k.must_hold(b)
        } -> std::same_as<bool>;
};

/// The no-op route, for a capability that a communicator lacks. Routes inherit the calls that they have no use for.
struct absent_route {
    static constexpr std::string_view name {};
    static void begin_step() noexcept { }
    static void launch(std::size_t) noexcept { }
    static void progress(std::size_t, std::size_t) noexcept { }
    static void settle(std::size_t, std::size_t) noexcept { }
    static void reduce(std::size_t) noexcept { }
    static void complete(std::size_t) noexcept { }
    [[nodiscard]] static bool idle(std::size_t) noexcept { return true; }
    static void abandon() noexcept { }
    [[nodiscard]] static std::size_t bytes() noexcept { return 0; }
    [[nodiscard]] static std::byte* gradient(std::size_t) noexcept { return nullptr; }
    [[nodiscard]] static bool must_hold(std::size_t) noexcept { return false; }
};
static_assert(exchange_route<absent_route>);

/// Progress of a bucket on a route.
enum class phase : unsigned char { idle, packed, reducing, publishing };

/// Names the bucket and the awaited data in the error of a wait that takes too long.
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

/// Parts of the engine that a route is constructed from; they outlive it.
template <communicator C> struct route_parts {
    C& comm;
    bucket_buffers& buffers;
    bucket_passes& passes;
    message_round<C>& round;
    traffic& sent;
    bucket_wait wait;
    const synchronizer_options& options;
    std::span<const std::size_t> gradient_bytes; ///< by parameter: memory that the host wants for its gradients; or empty
};

/// The routes of an engine. Constructs them in the order of the list, and destroys them in the reverse order.
template <exchange_route... Routes> class route_list {
public:
    template <communicator C> explicit route_list(const route_parts<C>&) { }
    template <class F> static void for_each(F) noexcept { }
    template <class F> static void for_each_reversed(F) noexcept { }
};
template <exchange_route First, exchange_route... Rest> class route_list<First, Rest...> {
public:
    template <communicator C>
    explicit route_list(const route_parts<C>& parts)
        : first_(parts)
        , rest_(parts)
    {
    }

    template <class F> void for_each(F f)
    {
        f(first_);
        rest_.for_each(f);
    }
    template <class F> void for_each(F f) const
    {
        f(first_);
        rest_.for_each(f);
    }
    template <class F> void for_each_reversed(F f)
    {
        rest_.for_each_reversed(f);
        f(first_);
    }

private:
    First first_;
    [[no_unique_address]] route_list<Rest...> rest_;
};

} // namespace sdp::detail
