// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief A stable sort that causes no warning in a user's build.

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <utility>
#include <vector>

namespace sdp::detail {

/// Puts the elements into the order that `std::stable_sort` would give them. libstdc++'s own instantiates
/// `std::get_temporary_buffer`, which C++17 deprecates and Clang therefore reports wherever a stable sort is called.
template <class Iterator, class Less> void stable_sort(Iterator first, Iterator last, Less less)
{
    std::vector<std::pair<typename std::iterator_traits<Iterator>::value_type, std::size_t>> numbered;
    numbered.reserve(static_cast<std::size_t>(last - first));
    for (Iterator at = first; at != last; ++at)
        numbered.emplace_back(std::move(*at), numbered.size());
    std::sort(numbered.begin(), numbered.end(),
        [&](const auto& a, const auto& b) { return less(a.first, b.first) || (!less(b.first, a.first) && a.second < b.second); });
    for (auto& element : numbered)
        *first++ = std::move(element.first);
}

} // namespace sdp::detail
