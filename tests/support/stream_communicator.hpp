// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief A communicator on a stream that is no device: tiles run on the host, by the bodies that a device runs, and everything
/// is done at once.

#include <sdp/comm/stream.hpp>
#include <sdp/comm/threads.hpp>
#include <sdp/stream.hpp>
#include <sdp/tiles/tile_bodies.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <list>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace support {

/// Runs tiles as blocks of so many threads, one thread after the other, the last one first.
class host_executor {
public:
    static constexpr std::uint32_t threads = 5; // not a divisor of anything

    [[nodiscard]] std::byte* allocate(std::size_t bytes)
    {
        auto& line = memory_.emplace_back(bytes / sizeof(block) + 1);
        return line.front().bytes;
    }
    void release(const std::byte* memory) noexcept
    {
        std::erase_if(memory_, [memory](const auto& each) { return each.front().bytes == memory; });
    }
    static void write(std::byte* to, const void* from, std::size_t bytes)
    {
        if (bytes > 0)
            std::memcpy(to, from, bytes);
    }
    static void read(void* to, const std::byte* from, std::size_t bytes)
    {
        if (bytes > 0)
            std::memcpy(to, from, bytes);
    }
    static void join_host() noexcept { }
    static void release_to_host() noexcept { }

    static void run(sdp::tile_phase phase, const sdp::tiles::tile_job& job, sdp::element_type type, sdp::element_type wire)
    {
        using namespace sdp::tiles;
        with_tile_types(type, wire, [&]<class T, class W>(T, W) {
            for (std::uint32_t number = 0; number < job.count; ++number) {
                const auto& t = job.tiles[number];
                if (phase == sdp::tile_phase::squares) {
                    double sums[square_lanes];
                    for (std::uint32_t lane = 0; lane < square_lanes; ++lane)
                        sums[lane] = square_body<T> {}(job, t, lane);
                    job.results[number] = add_lanes(sums);
                    continue;
                }
                for (std::uint32_t thread = threads; thread-- > 0;)
                    switch (phase) {
                    case sdp::tile_phase::pack:
                    case sdp::tile_phase::pack_weighted:
                        pack_body<T, W> {phase == sdp::tile_phase::pack_weighted}(job, t, thread, threads);
                        break;
                    case sdp::tile_phase::reduce:
                        reduce_body<T, W> {}(job, t, thread, threads);
                        break;
                    case sdp::tile_phase::reduce_in_tensors:
                        tensor_sum_body<T, W> {}(job, t, thread, threads);
                        break;
                    case sdp::tile_phase::unpack:
                    case sdp::tile_phase::unpack_divided:
                        unpack_body<T, W> {phase == sdp::tile_phase::unpack_divided}(job, t, thread, threads);
                        break;
                    case sdp::tile_phase::squares:
                        break;
                    }
            }
        });
    }

private:
    struct alignas(256) block {
        std::byte bytes[256];
    };
    std::list<std::vector<block>> memory_;
};
static_assert(sdp::tile_executor<host_executor>);

/// Copies share one stream.
class stream_communicator {
public:
    static constexpr sdp::memory_space space = sdp::memory_space::host;
    static constexpr bool ordered_exchange = sdp::ordered_exchange<sdp::thread_communicator>;

    explicit stream_communicator(sdp::thread_communicator inner)
        : inner_(std::move(inner))
        , executor_(std::make_shared<host_executor>())
    {
    }
    [[nodiscard]] int rank() const { return inner_.rank(); }
    [[nodiscard]] int size() const { return inner_.size(); }
    [[nodiscard]] sdp::thread_exchange exchange(
        sdp::exchange_tag tag, std::span<const sdp::outgoing> sends, std::span<const sdp::incoming> receives)
    {
        return inner_.exchange(tag, sends, receives);
    }
    void abort() { inner_.abort(); }

    void exchange_on_stream(std::span<const sdp::outgoing> sends, std::span<const sdp::incoming> receives)
    {
        inner_.exchange(0, sends, receives).wait(std::chrono::minutes(1));
    }
    [[nodiscard]] host_executor& executor() { return *executor_; }
    static void throw_if_failed() noexcept { }

private:
    sdp::thread_communicator inner_;
    std::shared_ptr<host_executor> executor_;
};
static_assert(sdp::stream_exchange<stream_communicator> && sdp::abortable<stream_communicator>);

/// Work is synchronous here, so a mark is reached before another worker can wait for it.
class marked_segment : public sdp::thread_segment {
public:
    explicit marked_segment(sdp::thread_segment inner)
        : thread_segment(std::move(inner))
    {
    }
    static void record(std::size_t) noexcept { }
    static void record_host(std::size_t) noexcept { }
    static void wait_on(int, std::size_t) noexcept { }
};

/// The same, with tiles that reach the tensors of all workers whose ranks divided by `together` are the same.
class reaching_stream_communicator : public stream_communicator {
public:
    static constexpr std::string_view memory_route = "tensors";
    static constexpr bool one_address_space = true;

    explicit reaching_stream_communicator(sdp::thread_communicator inner, int together = 1 << 20)
        : stream_communicator(inner)
        , memory_(std::move(inner))
        , together_(together)
    {
    }
    [[nodiscard]] bool reaches(int other) const { return other / together_ == rank() / together_; }
    [[nodiscard]] sdp::thread_segment share(std::size_t bytes) { return memory_.share(bytes); }
    [[nodiscard]] marked_segment share_on_stream(std::size_t bytes, std::size_t) { return marked_segment(memory_.share(bytes)); }

private:
    sdp::thread_communicator memory_;
    int together_;
};
static_assert(sdp::stream_peer_memory<reaching_stream_communicator> && !sdp::stream_peer_memory<stream_communicator>);

} // namespace support
