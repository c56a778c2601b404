// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Workers as MPI processes: the communicator over `boost::mpi::communicator`.
///
/// Use it across processes and machines. Boost.MPI supplies the handle. Messages use the C interface below Boost.MPI, which lacks
/// counts past 2^31 and an allocation-free completion test that identifies the late peer.

#include <sdp/comm/communicator.hpp>
#include <sdp/comm/detail/mpi_state.hpp>
#include <sdp/comm/mpi_error.hpp>

#include <boost/mpi/communicator.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

namespace sdp {

struct mpi_options {
    /// Size in bytes of the parts into which a longer message is split. At most the largest `int`; small values only serve tests.
    /// All ranks give the same value.
    std::size_t largest_piece = std::size_t(1) << 30;
    /// Largest number of ranks that count as one node, whose ranks reach each other's memory; 0: as many as MPI reports. Small
    /// values only serve tests, and 1 disables the window route. All ranks give the same value.
    int node_ranks = 0;
};

/// An exchange in progress between MPI processes. Models `pending_exchange`.
///
/// The destructor gives an unfinished exchange another quarter of a second, then cancels its receives. MPI cannot cancel a send:
/// the buffer of a send that is still open must outlive MPI or the program. The communicator then refuses further exchanges,
/// because a late message would be matched with a new receive.
class mpi_exchange {
public:
    mpi_exchange() = default;
    mpi_exchange(mpi_exchange&&) noexcept = default;
    mpi_exchange& operator=(mpi_exchange&& other) noexcept
    {
        mpi_exchange taken(std::move(other));
        std::swap(state_, taken.state_);
        std::swap(batch_, taken.batch_);
        return *this;
    }
    ~mpi_exchange()
    {
        if (batch_)
            state_->give_up(std::move(batch_));
    }

    /// Lets MPI make progress; true once all messages are done.
    /// @throws sdp::input_error when a message is shorter than expected
    /// @throws sdp::mpi_error when a message is longer than expected, or MPI fails otherwise. Open MPI 4.1 may write the surplus
    ///         past the end of a large message's buffer before it reports the error, so end the program after it.
    [[nodiscard]] bool test()
    {
        if (batch_ && state_->progress(*batch_))
            finish();
        return !batch_;
    }

    /// Returns once all messages are done.
    /// @throws sdp::timeout_error naming peer, tag, bytes and direction; the exchange continues and can be waited for again
    /// @throws the exceptions of `test`
    void wait(std::chrono::milliseconds limit)
    {
        if (!batch_)
            return;
        state_->wait(*batch_, limit);
        finish();
    }

private:
    friend class mpi_communicator;
    mpi_exchange(std::shared_ptr<detail::mpi_state> state, std::unique_ptr<detail::mpi_batch> batch) noexcept
        : state_(std::move(state))
        , batch_(std::move(batch))
    {
    }

    void finish() noexcept
    {
        state_->recycle(std::move(batch_));
        state_.reset();
    }

    std::shared_ptr<detail::mpi_state> state_;
    std::unique_ptr<detail::mpi_batch> batch_;
};

/// Memory of the ranks of one node, in an MPI-3 shared window. Models `memory_segment`. Construction and destruction are
/// collective over the node.
class mpi_segment {
public:
    [[nodiscard]] std::byte* of(int rank) const noexcept
    {
        const int number = state_->number_in_node(rank);
        return number < 0 ? nullptr : window_->part(number);
    }
    static void notify() noexcept { } // peers poll the memory
    /// @throws sdp::timeout_error naming the rank
    template <class Done> void wait(int rank, Done done, std::chrono::milliseconds limit) const
    {
        state_->wait_for(rank, done, limit);
    }

private:
    friend class mpi_communicator;
    mpi_segment(std::shared_ptr<detail::mpi_state> state, std::size_t bytes)
        : state_(std::move(state))
        , window_(state_->open_window(bytes))
    {
    }

    std::shared_ptr<detail::mpi_state> state_;
    std::unique_ptr<detail::mpi_window> window_;
};

/// One process of an MPI communicator. Models `communicator`, `abortable`, `peer_memory` and `native_all_reduce`.
///
/// A cheap handle: copies share one MPI communicator. It never initialises or finalises MPI. Calls on all copies and their
/// exchanges are made by one thread at a time, as MPI_THREAD_SERIALIZED requires. The receiver detects a message whose two ends
/// give different sizes; if the sizes differ by whole parts of `largest_piece` bytes, the time-out does.
class mpi_communicator {
public:
    /// Duplicates `given`, so that the program's own messages never match the library's. Collective over `given`.
    /// @throws sdp::input_error when MPI is not running, when this process is not in `given`, or when `given` is an
    /// intercommunicator
    explicit mpi_communicator(const boost::mpi::communicator& given, mpi_options options = {})
        : mpi_communicator(given, true, options)
    {
    }

    /// Duplicates MPI's own handle, for programs that do not use Boost.MPI otherwise.
    explicit mpi_communicator(MPI_Comm given, mpi_options options = {})
        : mpi_communicator(boost::mpi::communicator(given, boost::mpi::comm_attach), true, options)
    {
    }

    /// Uses `given` itself: duplicates, changes and frees nothing, and leaves its error handler in place. The caller keeps it
    /// alive and sends nothing else through it. The ranks of a node can only be found by a collective call, so there is no window
    /// route.
    /// @throws sdp::input_error like the constructor
    [[nodiscard]] static mpi_communicator attach(const boost::mpi::communicator& given, mpi_options options = {})
    {
        return {given, false, options};
    }

    /// Uses MPI's own handle.
    [[nodiscard]] static mpi_communicator attach(MPI_Comm given, mpi_options options = {})
    {
        return {boost::mpi::communicator(given, boost::mpi::comm_attach), false, options};
    }

    [[nodiscard]] int rank() const noexcept { return state_->rank(); }
    [[nodiscard]] int size() const noexcept { return state_->size(); }

    /// The communicator that carries the messages. The returned object does not own it.
    [[nodiscard]] boost::mpi::communicator base() const { return {state_->native(), boost::mpi::comm_attach}; }

    /// @throws sdp::input_error for ill-formed arguments, before anything is posted
    /// @throws sdp::mpi_error when MPI refuses a message
    [[nodiscard]] mpi_exchange exchange(
        exchange_tag tag, std::span<const outgoing> sends, std::span<const incoming> receives) const
    {
        mpi_exchange pending(state_, state_->prepare(tag, sends, receives));
        state_->post(*pending.batch_, sends, receives);
        return pending;
    }

    static constexpr std::string_view memory_route = "window";
    static constexpr bool one_address_space = false;
    [[nodiscard]] bool reaches(int rank) const noexcept { return state_->number_in_node(rank) >= 0; }
    /// Opens a shared window. Collective over the node, as is its destruction, except during an exception.
    [[nodiscard]] mpi_segment share(std::size_t bytes) const { return {state_, bytes}; }

    /// Starts an `MPI_Iallreduce` over all ranks, in place, of f32 or f64. MPI chooses the order of summation.
    [[nodiscard]] mpi_exchange all_reduce(void* data, std::size_t count, element_type type) const
    {
        return {state_, state_->all_reduce(data, count, type)};
    }

    /// Ends all processes, because MPI has no other way to end the wait of a rank.
    void abort() const { MPI_Abort(state_->native(), 1); }

private:
    mpi_communicator(const boost::mpi::communicator& given, bool duplicate, mpi_options options)
        : state_(std::make_shared<detail::mpi_state>(
            given, duplicate, options.largest_piece, duplicate ? checked(options.node_ranks) : -1))
    {
    }

    [[nodiscard]] static int checked(int node_ranks)
    {
        if (node_ranks < 0)
            detail::fail("mpi_options::node_ranks is ", node_ranks, "; expected at least 0");
        return node_ranks;
    }

    std::shared_ptr<detail::mpi_state> state_;
};

} // namespace sdp
