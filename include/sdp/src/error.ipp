// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Puts the sentences of errors together.

#include <sdp/error.hpp>
#include <sdp/src/separate.hpp>

#include <charconv>

namespace sdp::detail {

SDP_INLINE void piece::append_to(std::string& out) const
{
    char digits[64];
    const auto number = [&](auto value) {
        const auto end = std::to_chars(digits, digits + sizeof digits, value);
        out.append(digits, end.ptr);
    };
    switch (kind_) {
    case kind::text:
        out += text_;
        break;
    case kind::signed_number:
        number(static_cast<long long>(number_));
        break;
    case kind::unsigned_number:
        number(number_);
        break;
    case kind::f64:
        number(real_);
        break;
    case kind::f32:
        number(static_cast<float>(real_));
        break;
    case kind::list:
        list_.append(out, list_.values);
        break;
    }
}

SDP_INLINE std::string joined(std::initializer_list<piece> pieces)
{
    std::string out;
    for (const auto& each : pieces)
        each.append_to(out);
    return out;
}

} // namespace sdp::detail
