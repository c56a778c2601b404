// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief State of the `mpi` communicator: requests, the parts of long messages, and the errors of their completion.

#include <sdp/comm/detail/exchange_check.hpp>
#include <sdp/comm/detail/mpi_handle.hpp>
#include <sdp/comm/detail/mpi_window.hpp>
#include <sdp/comm/mpi_error.hpp>
#include <sdp/error.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <exception>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <thread>
#include <utility>
#include <vector>

namespace sdp::detail {

/// One MPI message: a message of the exchange, or a part of a long one.
struct mpi_piece {
    int peer = 0;
    bool outgoing = false;
    int bytes = 0;
    std::size_t message_bytes = 0; ///< of the whole message, for error messages
};

/// The requests of one exchange. Later exchanges reuse it, so that nothing is allocated once its lists are large enough.
struct mpi_batch {
    exchange_tag tag = 0;
    std::size_t open = 0; ///< number of incomplete requests
    std::vector<MPI_Request> requests;
    std::vector<mpi_piece> pieces;
    std::vector<int> indices;
    std::vector<MPI_Status> statuses;
    std::exception_ptr failure;
    std::unique_ptr<mpi_batch> next_free;
};

/// State shared by all copies of one `mpi_communicator`.
class mpi_state {
public:
    /// @param node_ranks as in `mpi_options::node_ranks`; negative: no search for a node
    mpi_state(const boost::mpi::communicator& given, bool duplicate, std::size_t largest_piece, int node_ranks)
        : largest_piece_(checked(largest_piece))
        , handle_(given, duplicate)
        , rank_(given.rank())
        , size_(given.size())
        , check_(rank_, size_)
    {
        if (node_ranks >= 0)
            node_.emplace(native(), node_ranks);
    }

    [[nodiscard]] int rank() const noexcept { return rank_; }
    [[nodiscard]] int size() const noexcept { return size_; }
    [[nodiscard]] MPI_Comm native() const noexcept { return handle_.get(); }
    /// The rank's number within this worker's node, or −1.
    [[nodiscard]] int number_in_node(int rank) const noexcept { return node_ ? node_->number_of(rank) : rank == rank_ ? 0 : -1; }
    [[nodiscard]] std::unique_ptr<mpi_window> open_window(std::size_t bytes) const
    {
        if (!node_)
            fail("rank ", rank_,
                " cannot share memory: its communicator was attached, not duplicated; expected one made by the "
                "constructor of mpi_communicator, or route_choice::swap");
        return std::make_unique<mpi_window>(*node_, bytes);
    }

    /// Returns once `done()` is true, which `peer` makes true in the memory of the node.
    template <class Done> void wait_for(int peer, Done done, std::chrono::milliseconds limit) const
    {
        using clock = std::chrono::steady_clock;
        constexpr int patience = 4096; // rounds of yielding the core before sleeping
        const auto start = clock::now();
        for (int round = 0; !done(); ++round) {
            if (round % 64 == 63 && clock::now() - start >= limit)
                fail_by_peer<timeout_error>(
                    rank_, peer, "rank ", rank_, " waited ", limit.count(), " ms for rank ", peer, " in the memory they share");
            if (!node_->is_whole_world()) { // messages to other nodes may need this rank's progress
                int arrived = 0;
                MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, native(), &arrived, MPI_STATUS_IGNORE);
            }
            if (round < patience)
                std::this_thread::yield();
            else
                std::this_thread::sleep_for(std::chrono::microseconds(50));
        }
    }

    /// Starts a sum over all ranks, in place.
    [[nodiscard]] std::unique_ptr<mpi_batch> all_reduce(void* data, std::size_t count, element_type type)
    {
        const MPI_Datatype datatype = type == element_type::f64 ? MPI_DOUBLE : MPI_FLOAT;
        auto batch = prepare(0, {}, {});
        const std::size_t most = std::max<std::size_t>(largest_piece_ / size_of(type), 1);
        for (std::size_t offset = 0; offset < count; offset += most) {
            const std::size_t n = (std::min)(most, count - offset);
            auto* const place = static_cast<std::byte*>(data) + offset * size_of(type);
            add_request(
                *batch, {rank_, true, static_cast<int>(n * size_of(type)), count * size_of(type)}, [&](MPI_Request* request) {
                    check_mpi(MPI_Iallreduce(MPI_IN_PLACE, place, static_cast<int>(n), datatype, MPI_SUM, native(), request),
                        "MPI_Iallreduce");
                });
        }
        return batch;
    }

    [[nodiscard]] std::unique_ptr<mpi_batch> prepare(
        exchange_tag tag, std::span<const outgoing> sends, std::span<const incoming> receives)
    {
        check_(tag, sends, receives);
        if (given_up_)
            fail("rank ", rank_, " cannot start an exchange with tag ", tag,
                ": it gave up an earlier one, so later messages would be taken for those of that one");
        auto batch = free_ ? std::exchange(free_, std::move(free_->next_free)) : std::make_unique<mpi_batch>();
        batch->tag = tag;
        batch->open = 0;
        batch->requests.clear();
        batch->pieces.clear();
        batch->failure = nullptr;
        return batch;
    }

    /// Posts receives first, so that MPI writes arriving messages to their buffers without a copy through its own.
    void post(mpi_batch& batch, std::span<const outgoing> sends, std::span<const incoming> receives)
    {
        for (const auto& each : receives)
            post_pieces(batch, each, false, [&](std::size_t offset, int bytes, MPI_Request* request) {
                auto* const target = static_cast<std::byte*>(each.data) + offset;
                check_mpi(MPI_Irecv(target, bytes, MPI_BYTE, each.peer, batch.tag, native(), request), "MPI_Irecv");
            });
        for (const auto& each : sends)
            post_pieces(batch, each, true, [&](std::size_t offset, int bytes, MPI_Request* request) {
                const auto* const source = static_cast<const std::byte*>(each.data) + offset;
                check_mpi(MPI_Isend(source, bytes, MPI_BYTE, each.peer, batch.tag, native(), request), "MPI_Isend");
            });
    }

    /// True once all requests are complete.
    [[nodiscard]] bool progress(mpi_batch& batch)
    {
        if (batch.failure)
            std::rethrow_exception(batch.failure);
        if (batch.open == 0)
            return true;
        // Not MPI_Testall, which hides a message of the wrong size until all others have arrived, and hides the late peer.
        int completed = 0;
        const int code = testsome(batch, completed);
        if (code != MPI_SUCCESS && code != MPI_ERR_IN_STATUS)
            check_mpi(code, "MPI_Testsome");
        for (int i = 0; i < completed; ++i)
            check_piece(batch, static_cast<std::size_t>(i), code == MPI_ERR_IN_STATUS);
        if (batch.failure)
            std::rethrow_exception(batch.failure);
        return batch.open == 0;
    }

    void wait(mpi_batch& batch, std::chrono::milliseconds limit)
    {
        using clock = std::chrono::steady_clock;
        const auto start = clock::now();
        while (!progress(batch)) {
            if (clock::now() - start >= limit)
                throw_late(batch, limit);
            std::this_thread::yield(); // ranks may outnumber cores
        }
    }

    void recycle(std::unique_ptr<mpi_batch> batch) noexcept
    {
        batch->next_free = std::move(free_);
        free_ = std::move(batch);
    }

    /// Gives the rest of an exchange a moment to complete, then cancels its receives. MPI cannot cancel a send.
    void give_up(std::unique_ptr<mpi_batch> batch) noexcept
    {
        if (batch->open > 0 && mpi_handle::alive()) {
            drain(*batch);
            given_up_ = given_up_ || batch->open > 0;
            for (std::size_t i = 0; i < batch->requests.size(); ++i)
                if (batch->requests[i] != MPI_REQUEST_NULL && !batch->pieces[i].outgoing)
                    MPI_Cancel(&batch->requests[i]);
            if (batch->open > 0)
                drain(*batch);
            for (std::size_t i = 0; i < batch->requests.size(); ++i)
                if (batch->requests[i] != MPI_REQUEST_NULL && batch->pieces[i].peer != rank_) // a collective cannot be cancelled
                    MPI_Request_free(&batch->requests[i]);
        }
        recycle(std::move(batch));
    }

private:
    [[nodiscard]] static std::size_t checked(std::size_t largest_piece)
    {
        constexpr std::size_t most = (std::numeric_limits<int>::max)();
        if (largest_piece < 1 || largest_piece > most)
            fail("mpi_options::largest_piece is ", largest_piece, ", but must be 1 to ", most, " bytes");
        return largest_piece;
    }

    template <class Start> void post_pieces(mpi_batch& batch, const auto& message, bool outgoing, Start&& start)
    {
        for (std::size_t offset = 0; offset < message.bytes; offset += largest_piece_) {
            const auto bytes = static_cast<int>((std::min)(largest_piece_, message.bytes - offset));
            add_request(batch, {message.peer, outgoing, bytes, message.bytes},
                [&](MPI_Request* request) { start(offset, bytes, request); });
        }
    }

    template <class Start> static void add_request(mpi_batch& batch, const mpi_piece& piece, Start start)
    {
        const auto count = batch.requests.size() + 1;
        batch.pieces.push_back(piece);
        batch.indices.resize((std::max)(batch.indices.size(), count));
        batch.statuses.resize((std::max)(batch.statuses.size(), count));
        batch.requests.push_back(MPI_REQUEST_NULL);
        start(&batch.requests.back());
        ++batch.open;
    }

    [[nodiscard]] static int testsome(mpi_batch& batch, int& completed) noexcept
    {
        const int code = MPI_Testsome(static_cast<int>(batch.requests.size()), batch.requests.data(), &completed,
            batch.indices.data(), batch.statuses.data());
        if (completed == MPI_UNDEFINED || (code != MPI_SUCCESS && code != MPI_ERR_IN_STATUS))
            completed = 0;
        batch.open -= static_cast<std::size_t>(completed);
        return code;
    }

    static void drain(mpi_batch& batch) noexcept
    {
        constexpr std::chrono::milliseconds grace(250);
        const auto start = std::chrono::steady_clock::now();
        while (batch.open > 0 && std::chrono::steady_clock::now() - start < grace) {
            int completed = 0;
            const int code = testsome(batch, completed);
            if (code != MPI_SUCCESS && code != MPI_ERR_IN_STATUS)
                return;
            std::this_thread::yield();
        }
    }

    /// Checks the `i`-th of the requests that have just completed. The first failure is kept.
    void check_piece(mpi_batch& batch, std::size_t i, bool codes_valid) const
    {
        const auto& piece = batch.pieces[static_cast<std::size_t>(batch.indices[i])];
        const auto& status = batch.statuses[i];
        const int code = codes_valid ? status.MPI_ERROR : MPI_SUCCESS;
        if (batch.failure)
            return;
        const auto sentence = [&](const auto&... rest) {
            return text("the message from rank ", piece.outgoing ? rank_ : piece.peer, " to rank ",
                piece.outgoing ? piece.peer : rank_, " with tag ", batch.tag, rest...);
        };
        if (code != MPI_SUCCESS) {
            int error_class = code;
            MPI_Error_class(code, &error_class);
            if (error_class == MPI_ERR_TRUNCATE)
                batch.failure = std::make_exception_ptr(
                    mpi_error(sentence(" has more than the ", piece.message_bytes, " bytes that the receiver expects"), code));
            else
                batch.failure = std::make_exception_ptr(
                    peer_error(mpi_error(sentence(" (", piece.message_bytes, " bytes) failed"), code).what(), rank_, piece.peer));
            return;
        }
        if (piece.outgoing)
            return;
        int found = 0;
        check_mpi(MPI_Get_count(&status, MPI_BYTE, &found), "MPI_Get_count");
        if (found != piece.bytes)
            batch.failure = std::make_exception_ptr(input_error(sentence(
                " has a piece of ", found, " bytes where ", piece.bytes, " were expected (", piece.message_bytes, " in all)")));
    }

    [[noreturn]] void throw_late(const mpi_batch& batch, std::chrono::milliseconds limit) const
    {
        const auto open = std::ranges::find_if(batch.requests, [](MPI_Request request) { return request != MPI_REQUEST_NULL; });
        const auto& piece = batch.pieces[static_cast<std::size_t>(open - batch.requests.begin())];
        fail_by_peer<timeout_error>(rank_, piece.peer, "rank ", rank_, " waited ", limit.count(), " ms ",
            piece.outgoing ? "to send to rank " : "to receive from rank ", piece.peer, " (tag ", batch.tag, ", ",
            piece.message_bytes, " bytes)");
    }

    std::size_t largest_piece_;
    mpi_handle handle_;
    int rank_;
    int size_;
    exchange_check check_;
    std::optional<mpi_node> node_;
    bool given_up_ = false;
    std::unique_ptr<mpi_batch> free_;
};

} // namespace sdp::detail
