// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Workers as MPI processes: the communicator over `boost::mpi::communicator`.
///
/// Use it across processes and machines. Boost.MPI supplies the handle; the messages go through the C interface below it,
/// because Boost.MPI has neither counts past 2^31 nor a completion test that tells which peer is late without allocating.

#include <sdp/comm/communicator.hpp>
#include <sdp/comm/mpi_error.hpp>
#include <sdp/detail/mpi_state.hpp>

#include <boost/mpi/communicator.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <utility>

namespace sdp {

struct mpi_options {
    /// A longer message travels in pieces of this many bytes. At most what an `int` counts; small values only serve tests.
    /// All ranks name the same.
    std::size_t largest_piece = std::size_t(1) << 30;
};

/// An exchange under way between MPI processes. Models `pending_exchange`.
///
/// Destroying an unfinished one gives it a quarter of a second more, then cancels its receives. MPI cannot take a send back:
/// a buffer whose send is still open after that must outlive MPI or the program. The communicator then refuses further
/// exchanges, because a late message would be taken for a new one.
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
    /// @throws sdp::error when a message is shorter than expected
    /// @throws sdp::mpi_error when a message is longer than expected, or MPI fails otherwise. Open MPI 4.1 may write the
    /// surplus past the end of a large message's buffer before it says so, so treat that error as the end of the program.
    [[nodiscard]] bool test()
    {
        if (batch_ && state_->progress(*batch_))
            finish();
        return !batch_;
    }

    /// Returns once all messages are done.
    /// @throws sdp::timeout_error naming peer, tag, bytes and direction; the exchange goes on and may be waited for again
    /// @throws what `test` throws
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

/// One process of an MPI communicator. Models `communicator` and `abortable`.
///
/// A cheap handle: copies share one MPI communicator. It never starts or ends MPI. Calls on all copies and their exchanges
/// come from one thread at a time, as MPI_THREAD_SERIALIZED asks. A message whose size differs on its two ends is noticed by
/// the receiver; when the sizes differ by whole pieces of `largest_piece` bytes, by a time-out.
class mpi_communicator {
public:
    /// Duplicates `given`, so that no message of the program's own is ever mixed up with the library's. Collective over it.
    /// @throws sdp::error when MPI is not running or this process is not in `given`
    explicit mpi_communicator(const boost::mpi::communicator& given, mpi_options options = {})
        : mpi_communicator(given, true, options)
    {
    }

    /// Uses `given` itself: nothing is duplicated, changed or freed, and its error handler stays. The caller keeps it alive and
    /// sends nothing else through it. @throws sdp::error like the constructor
    [[nodiscard]] static mpi_communicator attach(const boost::mpi::communicator& given, mpi_options options = {})
    {
        return {given, false, options};
    }

    [[nodiscard]] int rank() const noexcept { return state_->rank(); }
    [[nodiscard]] int size() const noexcept { return state_->size(); }

    /// The communicator that the messages travel through; not owned by what is returned.
    [[nodiscard]] boost::mpi::communicator base() const { return {state_->native(), boost::mpi::comm_attach}; }

    /// @throws sdp::error for ill-formed arguments, before anything is posted
    /// @throws sdp::mpi_error when MPI refuses a message
    [[nodiscard]] mpi_exchange exchange(
        exchange_tag tag, std::span<const outgoing> sends, std::span<const incoming> receives) const
    {
        mpi_exchange pending(state_, state_->prepare(tag, sends, receives));
        state_->post(*pending.batch_, sends, receives);
        return pending;
    }

    /// Ends all processes: MPI knows no gentler way to reach one that waits.
    void abort() const { MPI_Abort(state_->native(), 1); }

private:
    mpi_communicator(const boost::mpi::communicator& given, bool duplicate, mpi_options options)
        : state_(std::make_shared<detail::mpi_state>(given, duplicate, options.largest_piece))
    {
    }

    std::shared_ptr<detail::mpi_state> state_;
};

} // namespace sdp
