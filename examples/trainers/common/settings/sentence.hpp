// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Sentences from words and numbers, and errors that say them.

#include <sdp/error.hpp>

#include <charconv>
#include <string>
#include <string_view>
#include <type_traits>

namespace trainer {

/// One string from pieces: words and numbers, these with all of their digits and no more.
template <class... Pieces> [[nodiscard]] std::string sentence(const Pieces&... pieces)
{
    std::string out;
    const auto append = [&out](const auto& piece) {
        if constexpr (std::is_arithmetic_v<std::remove_cvref_t<decltype(piece)>>) {
            char digits[64];
            out.append(digits, std::to_chars(digits, digits + sizeof digits, piece).ptr);
        } else {
            out += std::string_view(piece);
        }
    };
    (append(pieces), ...);
    return out;
}

/// Throws an `Error` with the joined pieces.
template <class Error = sdp::input_error, class... Pieces> [[noreturn]] void fail(const Pieces&... pieces)
{
    throw Error(sentence(pieces...));
}

} // namespace trainer
