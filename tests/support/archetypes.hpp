// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief For each concept, a type that offers just what it requires, and types that miss it by one thing.
///
/// The minimal models are what the library may rely on: code that compiles with them asks for nothing beyond the concept.
/// The near misses show that each requirement is checked where the type enters, not somewhere inside.

#include <sdp/comm/communicator.hpp>
#include <sdp/masking/regime.hpp>
#include <sdp/partition/policy.hpp>
#include <sdp/partition/rank_set.hpp>
#include <sdp/tensor.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

// [minimal tensor]
namespace archetypes {
struct minimal_tensor {
    float* elements;
    int count;
};
} // namespace archetypes

template <> struct sdp::tensor_traits<archetypes::minimal_tensor> {
    static float* data(const archetypes::minimal_tensor& t) { return t.elements; }
    static std::array<int, 1> shape(const archetypes::minimal_tensor& t) { return {t.count}; }
};
// [minimal tensor]

namespace archetypes {

struct tensor_without_traits { };
struct tensor_without_data { };
struct tensor_without_shape { };
struct tensor_with_a_number_for_data { };
struct tensor_with_a_number_for_shape { };
struct tensor_of_int { };
struct tensor_with_a_number_for_type { };

} // namespace archetypes

template <> struct sdp::tensor_traits<archetypes::tensor_without_data> {
    static std::array<int, 1> shape(const archetypes::tensor_without_data&);
    static element_type type(const archetypes::tensor_without_data&);
};
template <> struct sdp::tensor_traits<archetypes::tensor_without_shape> {
    static float* data(const archetypes::tensor_without_shape&);
};
template <> struct sdp::tensor_traits<archetypes::tensor_with_a_number_for_data> {
    static std::uintptr_t data(const archetypes::tensor_with_a_number_for_data&);
    static std::array<int, 1> shape(const archetypes::tensor_with_a_number_for_data&);
    static element_type type(const archetypes::tensor_with_a_number_for_data&);
};
template <> struct sdp::tensor_traits<archetypes::tensor_with_a_number_for_shape> {
    static float* data(const archetypes::tensor_with_a_number_for_shape&);
    static int shape(const archetypes::tensor_with_a_number_for_shape&);
};
template <> struct sdp::tensor_traits<archetypes::tensor_of_int> {
    static int* data(const archetypes::tensor_of_int&);
    static std::array<int, 1> shape(const archetypes::tensor_of_int&);
};
template <> struct sdp::tensor_traits<archetypes::tensor_with_a_number_for_type> {
    static void* data(const archetypes::tensor_with_a_number_for_type&);
    static std::array<int, 1> shape(const archetypes::tensor_with_a_number_for_type&);
    static int type(const archetypes::tensor_with_a_number_for_type&);
};

namespace archetypes {

// [minimal pending]
struct minimal_pending {
    minimal_pending() = default;
    minimal_pending(const minimal_pending&) = delete;
    minimal_pending& operator=(const minimal_pending&) = delete;
    minimal_pending(minimal_pending&&) = default;
    minimal_pending& operator=(minimal_pending&&) = default;
    bool test() { return true; }
    void wait(std::chrono::milliseconds) { }
};
// [minimal pending]

// [minimal communicator]
/// The only worker of its group: it has no peers, so an exchange has nothing to do.
struct minimal_communicator {
    explicit minimal_communicator(int) { }
    int rank() const { return 0; }
    int size() const { return 1; }
    minimal_pending exchange(sdp::exchange_tag, std::span<const sdp::outgoing>, std::span<const sdp::incoming>) { return {}; }
};
// [minimal communicator]

struct pending_without_test {
    void wait(std::chrono::milliseconds);
};
struct pending_without_wait {
    bool test();
};
struct pending_without_limit {
    bool test();
    void wait();
};
struct pending_with_silent_test {
    void test();
    void wait(std::chrono::milliseconds);
};
struct pending_never_empty {
    explicit pending_never_empty(int);
    bool test();
    void wait(std::chrono::milliseconds);
};
struct pending_fixed_in_place {
    pending_fixed_in_place() = default;
    pending_fixed_in_place(pending_fixed_in_place&&) = delete;
    bool test();
    void wait(std::chrono::milliseconds);
};

/// A communicator that is complete but for what `exchange` returns.
template <class Pending> struct communicator_returning {
    int rank() const;
    int size() const;
    Pending exchange(sdp::exchange_tag, std::span<const sdp::outgoing>, std::span<const sdp::incoming>);
};
struct communicator_without_exchange {
    int rank() const { return 0; }
    int size() const { return 1; }
};
struct communicator_without_tags {
    int rank() const;
    int size() const;
    minimal_pending exchange(std::span<const sdp::outgoing>, std::span<const sdp::incoming>);
};
struct communicator_with_changing_rank {
    int rank();
    int size() const;
    minimal_pending exchange(sdp::exchange_tag, std::span<const sdp::outgoing>, std::span<const sdp::incoming>);
};
struct communicator_with_unsigned_size {
    int rank() const;
    unsigned size() const;
    minimal_pending exchange(sdp::exchange_tag, std::span<const sdp::outgoing>, std::span<const sdp::incoming>);
};

struct ordered_communicator : minimal_communicator {
    static constexpr bool ordered_exchange = true;
};
struct unordered_communicator : minimal_communicator {
    static constexpr bool ordered_exchange = false;
};
struct abortable_communicator : minimal_communicator {
    void abort() { }
};

// [minimal segment]
/// The memory of the only worker.
struct minimal_segment {
    explicit minimal_segment(std::size_t bytes)
        : lines(new line[(bytes + 63) / 64]())
    {
    }
    std::byte* of(int) const { return lines[0].bytes; }
    void notify() { }
    template <class Done> void wait(int, Done done, std::chrono::milliseconds)
    {
        while (!done()) { }
    }

    struct alignas(64) line {
        std::byte bytes[64];
    };
    std::unique_ptr<line[]> lines;
};
// [minimal segment]

// [minimal peer memory]
struct minimal_peer_memory : minimal_communicator {
    using minimal_communicator::minimal_communicator;
    static constexpr std::string_view memory_route = "minimal";
    static constexpr bool one_address_space = false;
    bool reaches(int) const { return true; }
    minimal_segment share(std::size_t bytes) { return minimal_segment(bytes); }
};
// [minimal peer memory]

// [minimal all-reduce]
/// The values of the only worker are the sum already.
struct minimal_all_reduce : minimal_communicator {
    using minimal_communicator::minimal_communicator;
    minimal_pending all_reduce(void*, std::size_t, sdp::element_type) { return {}; }
};
// [minimal all-reduce]

struct segment_without_of {
    void notify();
    template <class Done> void wait(int, Done, std::chrono::milliseconds);
};
struct segment_without_notify {
    std::byte* of(int) const;
    template <class Done> void wait(int, Done, std::chrono::milliseconds);
};
struct segment_without_wait {
    std::byte* of(int) const;
    void notify();
};
struct segment_without_limit {
    std::byte* of(int) const;
    void notify();
    template <class Done> void wait(int, Done);
};
struct segment_of_void {
    void* of(int) const;
    void notify();
    template <class Done> void wait(int, Done, std::chrono::milliseconds);
};
struct segment_that_changes_itself {
    std::byte* of(int);
    void notify();
    template <class Done> void wait(int, Done, std::chrono::milliseconds);
};
struct segment_fixed_in_place {
    segment_fixed_in_place(segment_fixed_in_place&&) = delete;
    std::byte* of(int) const;
    void notify();
    template <class Done> void wait(int, Done, std::chrono::milliseconds);
};

/// A communicator with peer memory that is complete but for its segments.
template <class Segment> struct peer_memory_sharing : minimal_communicator {
    static constexpr std::string_view memory_route = "near miss";
    static constexpr bool one_address_space = false;
    bool reaches(int) const;
    Segment share(std::size_t);
};
struct peer_memory_without_reaches : minimal_communicator {
    static constexpr std::string_view memory_route = "near miss";
    static constexpr bool one_address_space = false;
    minimal_segment share(std::size_t);
};
struct peer_memory_with_changing_reach : minimal_communicator {
    static constexpr std::string_view memory_route = "near miss";
    static constexpr bool one_address_space = false;
    bool reaches(int);
    minimal_segment share(std::size_t);
};
struct peer_memory_without_share : minimal_communicator {
    static constexpr std::string_view memory_route = "near miss";
    static constexpr bool one_address_space = false;
    bool reaches(int) const;
};
struct peer_memory_without_name : minimal_communicator {
    static constexpr bool one_address_space = false;
    bool reaches(int) const;
    minimal_segment share(std::size_t);
};
struct peer_memory_with_a_number_for_name : minimal_communicator {
    static constexpr int memory_route = 3;
    static constexpr bool one_address_space = false;
    bool reaches(int) const;
    minimal_segment share(std::size_t);
};
struct peer_memory_without_address_space : minimal_communicator {
    static constexpr std::string_view memory_route = "near miss";
    bool reaches(int) const;
    minimal_segment share(std::size_t);
};
struct peer_memory_with_a_number_for_address_space : minimal_communicator {
    static constexpr std::string_view memory_route = "near miss";
    static constexpr int one_address_space = 1;
    bool reaches(int) const;
    minimal_segment share(std::size_t);
};
/// All that peer memory asks for, but no messages.
struct peer_memory_alone {
    static constexpr std::string_view memory_route = "near miss";
    static constexpr bool one_address_space = false;
    bool reaches(int) const;
    minimal_segment share(std::size_t);
};

struct all_reduce_that_waits : minimal_communicator {
    void all_reduce(void*, std::size_t, sdp::element_type);
};
struct all_reduce_of_bytes : minimal_communicator {
    minimal_pending all_reduce(void*, std::size_t);
};
struct all_reduce_of_floats : minimal_communicator {
    minimal_pending all_reduce(float*, std::size_t, sdp::element_type);
};
struct all_reduce_alone {
    minimal_pending all_reduce(void*, std::size_t, sdp::element_type);
};

// [minimal policy]
/// Worker 0 holds everything that can be left out elsewhere.
struct minimal_policy {
    explicit minimal_policy(int) { }
    sdp::assignment operator()(const sdp::model& m, int world) const
    {
        sdp::assignment out(m, world);
        for (std::size_t b = 0; b < m.blocks().size(); ++b)
            out.assign(sdp::block_id(b), {0});
        return out;
    }
};
// [minimal policy]

struct policy_returning_a_rank_set {
    sdp::rank_set operator()(const sdp::model&, int) const { return {0}; }
};
struct policy_returning_a_reference {
    const sdp::assignment& operator()(const sdp::model&, int) const;
};
struct policy_that_changes_itself {
    sdp::assignment operator()(const sdp::model&, int);
};
struct policy_without_world {
    sdp::assignment operator()(const sdp::model&) const;
};

// [minimal regime]
/// Everybody stores everything; the holders train it.
struct minimal_regime {
    explicit minimal_regime(int) { }
    sdp::rank_set stored_by(const sdp::unit_view& unit) const { return sdp::rank_set::all(unit.world); }
    sdp::rank_set trained_by(const sdp::unit_view& unit) const { return unit.holders; }
};
// [minimal regime]

struct regime_without_trained_by {
    sdp::rank_set stored_by(const sdp::unit_view& unit) const { return unit.holders; }
};
struct regime_without_stored_by {
    sdp::rank_set trained_by(const sdp::unit_view&) const;
};
struct regime_returning_a_count {
    int stored_by(const sdp::unit_view&) const;
    int trained_by(const sdp::unit_view&) const;
};
struct regime_that_changes_itself {
    sdp::rank_set stored_by(const sdp::unit_view&);
    sdp::rank_set trained_by(const sdp::unit_view&);
};

} // namespace archetypes
