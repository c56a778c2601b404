// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The exception for a failing MPI call.

#include <sdp/error.hpp>

#include <boost/mpi/config.hpp>

#include <cstddef>
#include <string>
#include <string_view>

namespace sdp {
#pragma GCC visibility push(default)

/// An MPI call failed.
class mpi_error : public error {
public:
    mpi_error(std::string_view what, int code)
        : error(detail::text(what, ": ", describe(code)))
        , code_(code)
    {
    }

    /// The error code that MPI returned.
    [[nodiscard]] int code() const noexcept { return code_; }

private:
    static std::string describe(int code)
    {
        char words[MPI_MAX_ERROR_STRING];
        int length = 0;
        if (MPI_Error_string(code, words, &length) != MPI_SUCCESS)
            return detail::text("MPI error ", code);
        return {words, static_cast<std::size_t>(length)};
    }

    int code_;
};

#pragma GCC visibility pop

namespace detail {

    inline void check_mpi(int code, std::string_view call)
    {
        if (code != MPI_SUCCESS)
            throw mpi_error(text(call, " failed"), code);
    }

} // namespace detail
} // namespace sdp
