// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief What the library throws, and how its sentences are put together.
///
/// Two kinds of failure, kept apart: bad input and a failing peer or foreign API throw one of the types below, with a
/// sentence that names the parameter, group or rank, what was found and what was expected. A broken internal invariant
/// asserts instead, because no caller can do anything about it.
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

/// Base of everything the library throws: bad input, unless it is one of the types below.
class error : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// Another worker failed, so this one cannot go on. Not the cause: the cause was thrown where it happened.
class aborted_error : public error {
public:
    using error::error;
};

/// A peer did not answer in time. The sentence names the peer and what was awaited from it.
class timeout_error : public error {
public:
    using error::error;
};

/// A mean gradient is NaN or infinite. The sentence names the parameter and the rank that owns the element.
class nonfinite_error : public error {
public:
    using error::error;
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
    template <class Error = error, class... Pieces> [[noreturn]] void fail(const Pieces&... pieces)
    {
        throw_joined<Error>({piece(pieces)...});
    }

} // namespace detail
} // namespace sdp

#ifndef SDP_SEPARATE_COMPILATION
#include <sdp/src/error.ipp>
#endif
