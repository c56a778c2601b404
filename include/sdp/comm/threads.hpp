// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Workers as threads of one process: the communicator that needs only the standard library.
///
/// Use it for tests, for one machine without MPI, and wherever a thread per worker suffices. The bytes of a message are copied
/// once, from the sender's buffer into the receiver's; gradients need no messages, because all workers reach all memory. The
/// workers may outnumber the cores, because a waiting worker sleeps.

#include <sdp/comm/communicator.hpp>
#include <sdp/comm/detail/thread_fabric.hpp>
#include <sdp/error.hpp>

#include <chrono>
#include <concepts>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace sdp {

class thread_communicator;

/// A group of N workers that reach each other. A cheap handle: copies name the same group.
class thread_group {
public:
    /// @throws sdp::input_error for fewer than one worker
    explicit thread_group(int size)
        : fabric_(std::make_shared<detail::thread_fabric>(size))
    {
    }

    [[nodiscard]] int size() const noexcept { return fabric_->size(); }

    /// The handle for one worker.
    /// @throws sdp::input_error for a rank outside the group
    [[nodiscard]] thread_communicator communicator(int rank) const;

    /// Reports that `rank` has failed: every unfinished or new exchange of the group throws `aborted_error`. The errors name the
    /// rank of the first call.
    void abort(int rank) const noexcept { fabric_->abort(rank); }

    /// Reports that `rank` posts no more messages. A worker that waits for a message that `rank` never posted gets a
    /// `peer_error`.
    void leave(int rank) const noexcept { fabric_->leave(rank); }

    /// The rank of the first call to `abort`, or −1.
    [[nodiscard]] int failing_rank() const noexcept { return fabric_->failing_rank(); }

private:
    friend class thread_communicator;
    explicit thread_group(std::shared_ptr<detail::thread_fabric> fabric)
        : fabric_(std::move(fabric))
    {
    }

    std::shared_ptr<detail::thread_fabric> fabric_;
};

/// An exchange in progress between threads. Models `pending_exchange`.
///
/// Destroying an unfinished exchange withdraws its messages and aborts the group: their other ends can never complete, and a
/// later message must not be matched with them.
class thread_exchange {
public:
    thread_exchange() = default;
    thread_exchange(thread_exchange&& other) noexcept
        : fabric_(std::move(other.fabric_))
        , batch_(std::exchange(other.batch_, nullptr))
        , rank_(other.rank_)
    {
    }
    thread_exchange& operator=(thread_exchange&& other) noexcept
    {
        thread_exchange taken(std::move(other));
        std::swap(fabric_, taken.fabric_);
        std::swap(batch_, taken.batch_);
        std::swap(rank_, taken.rank_);
        return *this;
    }
    ~thread_exchange()
    {
        if (batch_ != nullptr)
            fabric_->give_up(rank_, batch_);
    }

    /// Copies the messages that are ready; true once all messages are done.
    /// @throws sdp::input_error when the two ends give different sizes
    /// @throws sdp::peer_error when the peer has left the group
    /// @throws sdp::aborted_error when another worker has failed
    [[nodiscard]] bool test()
    {
        if (batch_ != nullptr && fabric_->progress(rank_, *batch_))
            finish();
        return batch_ == nullptr;
    }

    /// Returns once all messages are done.
    /// @throws sdp::timeout_error naming peer, tag, bytes and direction; the exchange continues and can be waited for again
    /// @throws the exceptions of `test`
    void wait(std::chrono::milliseconds limit)
    {
        if (batch_ == nullptr)
            return;
        fabric_->wait(rank_, *batch_, limit);
        finish();
    }

private:
    friend class thread_communicator;
    thread_exchange(std::shared_ptr<detail::thread_fabric> fabric, detail::thread_batch* batch, int rank) noexcept
        : fabric_(std::move(fabric))
        , batch_(batch)
        , rank_(rank)
    {
    }

    void finish() noexcept
    {
        fabric_->recycle(rank_, std::exchange(batch_, nullptr));
        fabric_.reset();
    }

    std::shared_ptr<detail::thread_fabric> fabric_;
    detail::thread_batch* batch_ = nullptr;
    int rank_ = 0;
};

/// Memory of the workers of a group; every worker reaches all of it. Models `memory_segment`.
class thread_segment {
public:
    [[nodiscard]] std::byte* of(int rank) const noexcept
    {
        return memory_->visible[static_cast<std::size_t>(rank)].load(std::memory_order_acquire);
    }
    void notify() const noexcept { fabric_->announce(rank_); }
    /// @throws sdp::timeout_error naming the rank; sdp::aborted_error when a worker has failed; sdp::peer_error if `rank` has
    /// left
    template <class Done> void wait(int rank, Done done, std::chrono::milliseconds limit) const
    {
        fabric_->wait_for(rank_, rank, done, limit);
    }

private:
    friend class thread_communicator;
    thread_segment(std::shared_ptr<detail::thread_fabric> fabric, int rank, std::size_t bytes, std::shared_ptr<void> keep)
        : fabric_(std::move(fabric))
        , memory_(fabric_->open_memory(rank, bytes, std::move(keep)))
        , rank_(rank)
    {
    }

    std::shared_ptr<detail::thread_fabric> fabric_;
    std::shared_ptr<detail::thread_memory> memory_;
    int rank_;
};

/// One worker's end of a `thread_group`. Models `communicator`, `abortable` and `peer_memory`.
///
/// A cheap handle: copies name the same rank. Several threads may use the copies at once, but each exchange belongs to one thread
/// at a time. Complexity: `exchange` is linear in its messages plus the unmatched messages of the same pairs; it allocates only
/// while the number of concurrent exchanges grows.
class thread_communicator {
public:
    [[nodiscard]] int rank() const noexcept { return rank_; }
    [[nodiscard]] int size() const noexcept { return fabric_->size(); }
    [[nodiscard]] thread_group group() const { return thread_group(fabric_); }

    /// @throws sdp::input_error for ill-formed arguments, before anything is posted
    /// @throws sdp::aborted_error when a worker of the group has failed
    [[nodiscard]] thread_exchange exchange(
        exchange_tag tag, std::span<const outgoing> sends, std::span<const incoming> receives) const
    {
        auto* const batch = fabric_->post(rank_, tag, sends, receives);
        return batch == nullptr ? thread_exchange() : thread_exchange(fabric_, batch, rank_);
    }

    static constexpr std::string_view memory_route = "threads";
    static constexpr bool one_address_space = true;
    [[nodiscard]] bool reaches(int) const noexcept { return true; }
    /// Opens a segment, without waiting for the other ranks. All ranks open their segments in the same order.
    /// @param bytes of this rank's own memory
    /// @param keep an object that the memory refers to; it lives until all ranks have released the memory
    [[nodiscard]] thread_segment share(std::size_t bytes, std::shared_ptr<void> keep = nullptr) const
    {
        return {fabric_, rank_, bytes, std::move(keep)};
    }

    /// Ends the waits of the whole group; the errors name this rank as the cause.
    void abort() const noexcept { fabric_->abort(rank_); }

private:
    friend class thread_group;
    thread_communicator(std::shared_ptr<detail::thread_fabric> fabric, int rank)
        : fabric_(std::move(fabric))
        , rank_(rank)
    {
    }

    std::shared_ptr<detail::thread_fabric> fabric_;
    int rank_;
};

inline thread_communicator thread_group::communicator(int rank) const
{
    if (rank < 0 || rank >= size())
        detail::fail("rank ", rank, " of a thread group whose ranks are 0 to ", size() - 1);
    return thread_communicator(fabric_, rank);
}

/// Runs `worker(thread_communicator)` on `world` threads at once and joins them all.
///
/// All threads call the same `worker` object. When one throws, the waits of the others end with `aborted_error`, and after all
/// have ended this function rethrows the exception of the failing worker. A worker may return before the others; a worker that
/// then waits for a message that was never posted gets a `peer_error` that names the rank.
///
/// @throws sdp::input_error for fewer than one worker
template <class F>
requires std::invocable<F&, thread_communicator>
void run_workers(int world, F&& worker)
{
    const thread_group group(world);
    std::vector<std::exception_ptr> thrown(static_cast<std::size_t>(world));
    std::vector<std::thread> threads;
    threads.reserve(thrown.size());
    const auto join = [&threads] {
        for (auto& thread : threads)
            thread.join();
    };
    try {
        for (int rank = 0; rank < world; ++rank)
            threads.emplace_back([&group, &worker, &mine = thrown[static_cast<std::size_t>(rank)], rank] {
                try {
                    std::invoke(worker, group.communicator(rank));
                    group.leave(rank);
                } catch (...) {
                    mine = std::current_exception();
                    group.abort(rank);
                }
            });
    } catch (...) { // thread creation failed: the threads already started must not wait for this one
        group.abort(static_cast<int>(threads.size()));
        join();
        throw;
    }
    join();
    const int cause = group.failing_rank();
    if (cause < 0)
        return;
    if (const auto& original = thrown[static_cast<std::size_t>(cause)])
        std::rethrow_exception(original);
    // The worker called abort() or gave up an exchange, and returned, so only the errors of the other workers can be reported.
    for (const auto& other : thrown)
        if (other)
            std::rethrow_exception(other);
}

} // namespace sdp
