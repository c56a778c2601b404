// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The shared window of a node: the ranks of the node, and memory that they all reach.

#include <sdp/comm/detail/mpi_handle.hpp>
#include <sdp/comm/mpi_error.hpp>
#include <sdp/error.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <numeric>
#include <thread>
#include <vector>

namespace sdp::detail {

/// The ranks of a communicator that can share memory with this one.
class mpi_node {
public:
    mpi_node() = default;
    /// Collective.
    /// @param most largest number of ranks that count as one node; 0: all that MPI reports
    mpi_node(MPI_Comm world, int most)
        : number_in_node_(static_cast<std::size_t>(size_of(world)), -1)
    {
        MPI_Comm all = MPI_COMM_NULL;
        check_mpi(MPI_Comm_split_type(world, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &all), "MPI_Comm_split_type");
        if (most > 0) {
            int number = 0;
            check_mpi(MPI_Comm_rank(all, &number), "MPI_Comm_rank");
            check_mpi(MPI_Comm_split(all, number / most, number, &comm_), "MPI_Comm_split");
            MPI_Comm_free(&all);
        } else {
            comm_ = all;
        }
        MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN);
        MPI_Group everybody = MPI_GROUP_NULL, here = MPI_GROUP_NULL;
        check_mpi(MPI_Comm_group(world, &everybody), "MPI_Comm_group");
        check_mpi(MPI_Comm_group(comm_, &here), "MPI_Comm_group");
        std::vector<int> numbers(static_cast<std::size_t>(size_of(comm_))), ranks(numbers.size());
        std::iota(numbers.begin(), numbers.end(), 0);
        check_mpi(MPI_Group_translate_ranks(here, static_cast<int>(numbers.size()), numbers.data(), everybody, ranks.data()),
            "MPI_Group_translate_ranks");
        for (std::size_t i = 0; i < ranks.size(); ++i)
            number_in_node_[static_cast<std::size_t>(ranks[i])] = static_cast<int>(i);
        MPI_Group_free(&everybody);
        MPI_Group_free(&here);
    }
    mpi_node(const mpi_node&) = delete;
    mpi_node& operator=(const mpi_node&) = delete;
    ~mpi_node()
    {
        if (comm_ != MPI_COMM_NULL && mpi_handle::alive())
            MPI_Comm_free(&comm_);
    }

    /// The rank's number in the node; −1 for a rank of another node.
    [[nodiscard]] int number_of(int rank) const noexcept
    {
        return number_in_node_.empty() ? -1 : number_in_node_[static_cast<std::size_t>(rank)];
    }
    [[nodiscard]] bool is_whole_world() const noexcept
    {
        return comm_ != MPI_COMM_NULL && static_cast<std::size_t>(size_of(comm_)) == number_in_node_.size();
    }
    [[nodiscard]] MPI_Comm comm() const noexcept { return comm_; }

private:
    [[nodiscard]] static int size_of(MPI_Comm comm) noexcept
    {
        int size = 0;
        MPI_Comm_size(comm, &size);
        return size;
    }

    MPI_Comm comm_ = MPI_COMM_NULL;
    std::vector<int> number_in_node_; ///< by rank
};

/// One shared window. Construction and destruction are collective over the node.
class mpi_window {
public:
    /// @throws sdp::mpi_error on all ranks of the node if MPI cannot provide the window
    mpi_window(const mpi_node& node, std::size_t bytes)
    {
        MPI_Info info = MPI_INFO_NULL;
        MPI_Info_create(&info);
        MPI_Info_set(info, "alloc_shared_noncontig", "true"); // each rank's part begins on a page of its own
        void* base = nullptr;
        const int code = MPI_Win_allocate_shared(
            static_cast<MPI_Aint>(bytes + line), 1, info, node.comm(), static_cast<void*>(&base), &window_);
        MPI_Info_free(&info);
        int worst = code == MPI_SUCCESS ? 0 : 1;
        MPI_Allreduce(MPI_IN_PLACE, &worst, 1, MPI_INT, MPI_MAX, node.comm());
        if (worst != 0)
            throw mpi_error(text("the ranks of a node could not get a shared window, of ", bytes,
                                " bytes on this rank; messages need none: route_choice::swap"),
                code == MPI_SUCCESS ? MPI_ERR_NO_MEM : code);
        MPI_Win_lock_all(MPI_MODE_NOCHECK, window_);
        std::memset(aligned(base), 0, bytes);
        MPI_Win_sync(window_);
        MPI_Barrier(node.comm());
        int size = 0;
        MPI_Comm_size(node.comm(), &size);
        for (int i = 0; i < size; ++i) {
            MPI_Aint there = 0;
            int unit = 0;
            check_mpi(MPI_Win_shared_query(window_, i, &there, &unit, static_cast<void*>(&base)), "MPI_Win_shared_query");
            parts_.push_back(aligned(base));
        }
    }
    mpi_window(const mpi_window&) = delete;
    mpi_window& operator=(const mpi_window&) = delete;
    ~mpi_window()
    {
        // During an exception the other ranks may not take part in the collective free, so the window remains until the end of
        // MPI.
        if (std::uncaught_exceptions() > 0 || !mpi_handle::alive())
            return;
        MPI_Win_unlock_all(window_);
        MPI_Win_free(&window_);
    }

    [[nodiscard]] std::byte* part(int number) const noexcept { return parts_[static_cast<std::size_t>(number)]; }

private:
    static constexpr std::size_t line = 64;

    /// Aligns to the same offset in every process: they map the memory at addresses that differ by whole pages.
    [[nodiscard]] static std::byte* aligned(void* base) noexcept
    {
        const auto address = reinterpret_cast<std::uintptr_t>(base);
        return static_cast<std::byte*>(base) + (line - address % line) % line;
    }

    MPI_Win window_ = MPI_WIN_NULL;
    std::vector<std::byte*> parts_;
};

} // namespace sdp::detail
