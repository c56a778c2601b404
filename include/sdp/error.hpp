// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief What the library throws, and how its sentences are put together.
///
/// | type              | means                                                        | data               |
/// |-------------------|--------------------------------------------------------------|--------------------|
/// | `error`           | base of all                                                  |                    |
/// | `input_error`     | bad input: correct the program                               | `rank()`           |
/// | `peer_error`      | a peer failed, left or is late: end or restart the run       | `rank()`, `peer()` |
/// | `timeout_error`   | a `peer_error`: the peer did not answer in time              |                    |
/// | `aborted_error`   | a `peer_error`: the peer failed; the cause was thrown there  |                    |
/// | `nonfinite_error` | a mean gradient is NaN or infinite: skip the step, say       | `rank()`           |
///
/// A foreign API that fails has an error of its own (`mpi_error`, `nccl_error`, `cuda_error`). Each sentence names the parameter,
/// group or rank, what was found and what was expected. A broken internal invariant asserts instead, because no caller can do
/// anything about it.

#include <charconv>
#include <concepts>
#include <ranges>
#include <stdexcept>
#include <string>
#include <string_view>

namespace sdp {

/// Base of everything the library throws.
class error : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// The program gave something that does not fit: a description, an option, a tensor, a call out of turn.
class input_error : public error {
public:
    explicit input_error(const std::string& what, int rank = -1)
        : error(what)
        , rank_(rank)
    {
    }
    /// The rank whose input differs from that of rank 0, where ranks were compared; otherwise −1: the input is this worker's own.
    [[nodiscard]] int rank() const noexcept { return rank_; }

private:
    int rank_;
};

/// A peer is the reason why this worker cannot go on: it has failed, left, or not answered.
class peer_error : public error {
public:
    explicit peer_error(const std::string& what, int rank = -1, int peer = -1)
        : error(what)
        , rank_(rank)
        , peer_(peer)
    {
    }
    /// The worker that throws; −1 if the communicator did not say.
    [[nodiscard]] int rank() const noexcept { return rank_; }
    /// The worker at fault; −1 if there may be several, or the communicator did not say. The sentence names them.
    [[nodiscard]] int peer() const noexcept { return peer_; }

private:
    int rank_;
    int peer_;
};

/// Another worker failed, so this one cannot go on. Not the cause: the cause was thrown where it happened.
class aborted_error : public peer_error {
public:
    using peer_error::peer_error;
};

/// A peer did not answer in time. The sentence says what was awaited from it.
class timeout_error : public peer_error {
public:
    using peer_error::peer_error;
};

/// A mean gradient is NaN or infinite. The sentence names the parameter.
class nonfinite_error : public error {
public:
    explicit nonfinite_error(const std::string& what, int rank = -1)
        : error(what)
        , rank_(rank)
    {
    }
    /// The worker that owns the element.
    [[nodiscard]] int rank() const noexcept { return rank_; }

private:
    int rank_;
};

namespace detail {

    inline void append(std::string& out, std::string_view text)
    {
        out += text;
    }

    template <std::same_as<bool> T> void append(std::string& out, T value)
    {
        out += value ? "true" : "false";
    }

    template <class T>
    requires(std::integral<T> && !std::same_as<T, bool> && !std::same_as<T, char>)
        || std::floating_point<T> void append(std::string& out, T value)
    {
        char digits[64];
        const auto end = std::to_chars(digits, digits + sizeof digits, value);
        out.append(digits, end.ptr);
    }

    template <std::ranges::input_range R>
    requires(!std::convertible_to<const R&, std::string_view>) void append(std::string& out, const R& values)
    {
        out += '[';
        for (bool first = true; const auto& value : values) {
            out += first ? "" : ", ";
            append(out, value);
            first = false;
        }
        out += ']';
    }

    /// One string from pieces. std::format is missing from the oldest supported standard library.
    template <class... Pieces> [[nodiscard]] std::string text(const Pieces&... pieces)
    {
        std::string out;
        (append(out, pieces), ...);
        return out;
    }

    /// Throws `Error` with the joined pieces.
    template <class Error = input_error, class... Pieces> [[noreturn]] void fail(const Pieces&... pieces)
    {
        throw Error(text(pieces...));
    }

    /// Throws a `peer_error`: worker `rank` cannot go on because of `peer`.
    template <class Error = peer_error, class... Pieces>
    [[noreturn]] void fail_by_peer(int rank, int peer, const Pieces&... pieces)
    {
        throw Error(text(pieces...), rank, peer);
    }

} // namespace detail
} // namespace sdp
