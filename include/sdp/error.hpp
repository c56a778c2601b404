// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Exceptions of the library, and the function that builds their sentences.
///
/// | type              | means                                                       | data               |
/// |-------------------|-------------------------------------------------------------|--------------------|
/// | `error`           | base of all                                                 |                    |
/// | `input_error`     | bad input: correct the program                              | `rank()`           |
/// | `peer_error`      | a peer failed, left or is late: end or restart the run      | `rank()`, `peer()` |
/// | `timeout_error`   | a `peer_error`: the peer did not answer in time             |                    |
/// | `aborted_error`   | a `peer_error`: the peer failed, and threw the cause itself |                    |
/// | `nonfinite_error` | a mean gradient is NaN or infinite: skip the step, say      | `rank()`           |
///
/// A foreign API that fails has an error of its own (`mpi_error`, `nccl_error`, `cuda_error`). Each sentence names the parameter,
/// group or rank, what was found and what was expected. A broken internal invariant asserts instead, because no caller can do
/// anything about it.
///
/// The types have default visibility, so that one thrown in a shared object built with -fvisibility=hidden is caught outside.

#ifndef __cpp_exceptions
#error "sdp reports bad input and failed peers by exceptions, which are turned off here; compile without -fno-exceptions"
#endif

#include <concepts>
#include <initializer_list>
#include <ranges>
#include <stdexcept>
#include <string>
#include <string_view>

namespace sdp {
#pragma GCC visibility push(default)

/// Base of everything the library throws.
class error : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// Bad input of the program: a description, an option, a tensor, a call out of turn.
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

/// A peer keeps this worker from its exchange: it has failed, left, or not answered.
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

/// Another worker failed, so this one stops. That worker threw the cause.
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

#pragma GCC visibility pop

namespace detail {

    /// A piece of a sentence, without the type that it had. One function puts all sentences together; otherwise the compiler
    /// would make a function for every list of types.
    class piece {
    public:
        piece(std::string_view text) noexcept
            : kind_(kind::text)
            , text_(text)
        {
        }
        template <std::same_as<bool> T>
        piece(T value) noexcept
            : piece(std::string_view(value ? "true" : "false"))
        {
        }
        template <class T>
        requires std::integral<T> &&(!std::same_as<T, bool>)&&(!std::same_as<T, char>)piece(T value) noexcept
            : kind_(std::signed_integral<T> ? kind::signed_number : kind::unsigned_number)
            , number_(static_cast<unsigned long long>(value))
        {
        }
        piece(double value) noexcept
            : kind_(kind::f64)
            , real_(value)
        {
        }
        piece(float value) noexcept
            : kind_(kind::f32)
            , real_(value)
        {
        }
        template <std::ranges::input_range R>
        requires(!std::convertible_to<const R&, std::string_view>) piece(const R& values)
        noexcept
            : kind_(kind::list)
            , list_ {&values, [](std::string& out, const void* list) {
                         out += '[';
                         for (bool first = true; const auto& value : *static_cast<const R*>(list)) {
                             out += first ? "" : ", ";
                             piece(value).append_to(out);
                             first = false;
                         }
                         out += ']';
                     }}
        {
        }

        void append_to(std::string& out) const;

    private:
        enum class kind : unsigned char { text, signed_number, unsigned_number, f64, f32, list };
        struct any_list {
            const void* values;
            void (*append)(std::string&, const void*);
        };

        kind kind_;
        union {
            std::string_view text_;
            unsigned long long number_;
            double real_;
            any_list list_;
        };
    };

    [[nodiscard]] std::string joined(std::initializer_list<piece> pieces);

    /// One string from pieces. std::format is missing from the oldest supported standard library.
    template <class... Pieces> [[nodiscard]] std::string text(const Pieces&... pieces)
    {
        return joined({piece(pieces)...});
    }

    template <class Error> [[noreturn, gnu::cold, gnu::noinline]] void throw_joined(std::initializer_list<piece> pieces)
    {
        throw Error(joined(pieces));
    }

    /// Throws `Error` with the joined pieces.
    template <class Error = input_error, class... Pieces> [[noreturn]] void fail(const Pieces&... pieces)
    {
        throw_joined<Error>({piece(pieces)...});
    }

    template <class Error>
    [[noreturn, gnu::cold, gnu::noinline]] void throw_joined_by_peer(int rank, int peer, std::initializer_list<piece> pieces)
    {
        throw Error(joined(pieces), rank, peer);
    }

    /// Throws a `peer_error`: worker `rank` stops because of `peer`.
    template <class Error = peer_error, class... Pieces>
    [[noreturn]] void fail_by_peer(int rank, int peer, const Pieces&... pieces)
    {
        throw_joined_by_peer<Error>(rank, peer, {piece(pieces)...});
    }

} // namespace detail
} // namespace sdp

#ifndef SDP_SEPARATE_COMPILATION
#include <sdp/src/error.ipp>
#endif
