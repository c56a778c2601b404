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

#include <charconv>
#include <concepts>
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
    template <class Error = error, class... Pieces> [[noreturn]] void fail(const Pieces&... pieces)
    {
        throw Error(text(pieces...));
    }

} // namespace detail
} // namespace sdp
