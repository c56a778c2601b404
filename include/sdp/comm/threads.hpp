// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Workers as threads of one process: the communicator that needs nothing but the standard library.
///
/// Use it for tests, for one machine without MPI, and wherever a worker is cheap enough to be a thread. Bytes of a message
/// move once, from the sender's buffer into the receiver's; gradients need no messages, because all workers reach all memory.
/// More workers than cores are fine: whoever waits sleeps.

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

/// N workers that can reach each other. A cheap handle: copies mean the same group.
class thread_group {
public:
    /// @throws sdp::error for less than one worker
    explicit thread_group(int size)
        : fabric_(std::make_shared<detail::thread_fabric>(size))
    {
    }

    [[nodiscard]] int size() const noexcept { return fabric_->size(); }

    /// The handle for one worker. @throws sdp::error for a rank outside the group
    [[nodiscard]] thread_communicator communicator(int rank) const;

    /// Says that `rank` has failed: every unfinished or new exchange of the group throws `aborted_error`. The first call
    /// decides which rank is named.
    void abort(int rank) const noexcept { fabric_->abort(rank); }

    /// Says that `rank` posts nothing any more. Whoever waits for a message that it never posted gets an `error`.
    void leave(int rank) const noexcept { fabric_->leave(rank); }

    /// The rank that `abort` was first called for, or −1.
    [[nodiscard]] int failing_rank() const noexcept { return fabric_->failing_rank(); }

private:
    friend class thread_communicator;
    explicit thread_group(std::shared_ptr<detail::thread_fabric> fabric)
        : fabric_(std::move(fabric))
    {
    }

    std::shared_ptr<detail::thread_fabric> fabric_;
};

/// An exchange under way between threads. Models `pending_exchange`.
///
/// Destroying an unfinished one takes its messages back and aborts the group: the other ends can never be served, and a
/// later message must not slip into their place.
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

    /// Copies what can be copied; true once all messages are done.
    /// @throws sdp::error when the two ends name different sizes, or the peer has left the group
    /// @throws sdp::aborted_error when another worker has failed
    [[nodiscard]] bool test()
    {
        if (batch_ != nullptr && fabric_->progress(rank_, *batch_))
            finish();
        return batch_ == nullptr;
    }

    /// Returns once all messages are done.
    /// @throws sdp::timeout_error naming peer, tag, bytes and direction; the exchange goes on and may be waited for again
    /// @throws what `test` throws
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

/// Memory of the workers of a group, which all reach. Models `memory_segment`.
class thread_segment {
public:
    [[nodiscard]] std::byte* of(int rank) const noexcept
    {
        return memory_->visible[static_cast<std::size_t>(rank)].load(std::memory_order_acquire);
    }
    void notify() const noexcept { fabric_->announce(rank_); }
    /// @throws sdp::timeout_error naming the rank; sdp::aborted_error when a worker has failed; sdp::error if `rank` has left
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
/// A cheap handle: copies mean the same rank and may be used from several threads at once, an exchange from one at a time.
/// Complexity: `exchange` is linear in its messages plus those of the same pairs that still wait for their other end; it
/// allocates only while the number of exchanges under way grows.
class thread_communicator {
public:
    [[nodiscard]] int rank() const noexcept { return rank_; }
    [[nodiscard]] int size() const noexcept { return fabric_->size(); }
    [[nodiscard]] thread_group group() const { return thread_group(fabric_); }

    /// @throws sdp::error for ill-formed arguments, before anything is posted
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
    /// The ranks open their segments in the same order; nobody waits for the others.
    /// @param bytes of this rank's own memory
    /// @param keep something that the memory tells of: stays until all ranks have let go of the memory
    [[nodiscard]] thread_segment share(std::size_t bytes, std::shared_ptr<void> keep = nullptr) const
    {
        return {fabric_, rank_, bytes, std::move(keep)};
    }

    /// Ends the waits of the whole group; this rank is named as the cause.
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
/// All threads call the same `worker` object. When one throws, the waits of the others end with `aborted_error`, and after
/// the last has ended this function throws what the failing worker threw. A worker may return before the others; who then
/// waits for a message that it never posted gets an `error` that names it.
///
/// @throws sdp::error for less than one worker
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
    } catch (...) { // a thread could not be started: those that were must not wait for it
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
    // The worker called abort() or gave up an exchange, and returned: what it did to the others is all there is to tell.
    for (const auto& other : thrown)
        if (other)
            std::rethrow_exception(other);
}

} // namespace sdp
