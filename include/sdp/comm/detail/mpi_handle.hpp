// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief RAII handle of an MPI communicator that the library may or may not own, with a test that MPI still runs.

#include <sdp/comm/mpi_error.hpp>
#include <sdp/error.hpp>

#include <boost/mpi/communicator.hpp>

namespace sdp::detail {

/// An MPI communicator, freed by the destructor if owned.
class mpi_handle {
public:
    mpi_handle(const boost::mpi::communicator& given, bool duplicate)
        : owned_(duplicate)
    {
        int initialized = 0;
        int finalized = 0;
        check_mpi(MPI_Initialized(&initialized), "MPI_Initialized");
        check_mpi(MPI_Finalized(&finalized), "MPI_Finalized");
        if (initialized == 0 || finalized != 0)
            fail("an MPI communicator is needed while MPI is ", finalized != 0 ? "already finalized" : "not initialized yet",
                "; the program starts and ends MPI, for example by a boost::mpi::environment in main");
        if (!given)
            fail("this process is not part of the given MPI communicator (MPI_COMM_NULL)");
        int between_groups = 0;
        check_mpi(MPI_Comm_test_inter(given, &between_groups), "MPI_Comm_test_inter");
        if (between_groups != 0) {
            int ours = 0;
            int theirs = 0;
            MPI_Comm_size(given, &ours);
            MPI_Comm_remote_size(given, &theirs);
            fail("the given MPI communicator is an intercommunicator, between groups of ", ours, " and ", theirs,
                " processes; expected an intracommunicator, which MPI_Intercomm_merge makes of the two groups");
        }
        if (!duplicate) {
            comm_ = given;
            return;
        }
        check_mpi(MPI_Comm_dup(given, &comm_), "MPI_Comm_dup");
        // MPI's default error handler ends the program. An exception can be caught, and names the peer.
        MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN);
    }
    mpi_handle(const mpi_handle&) = delete;
    mpi_handle& operator=(const mpi_handle&) = delete;
    ~mpi_handle()
    {
        if (owned_ && alive())
            MPI_Comm_free(&comm_);
    }

    [[nodiscard]] MPI_Comm get() const noexcept { return comm_; }

    /// False after the end of MPI, when no call is allowed; destructors may still run then.
    [[nodiscard]] static bool alive() noexcept
    {
        int finalized = 1;
        return MPI_Finalized(&finalized) == MPI_SUCCESS && finalized == 0;
    }

private:
    MPI_Comm comm_ = MPI_COMM_NULL;
    bool owned_;
};

} // namespace sdp::detail
