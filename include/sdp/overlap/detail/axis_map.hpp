// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Maps indices of a full tensor to those of a slab, axis by axis.

#include <sdp/slab.hpp>

#include <algorithm>
#include <cstddef>
#include <vector>

namespace sdp::detail {

/// Maps indices on one axis to local ones. Look-ups mostly ascend, so each search begins at the result of the previous one.
class axis_map {
public:
    explicit axis_map(const std::vector<interval>& selected)
        : selected_(&selected)
    {
        before_.reserve(selected.size());
        index_t before = 0;
        for (const auto& i : selected) {
            before_.push_back(before);
            before += i.end - i.begin;
        }
    }

    /// The local index of `full`, or −1 if the slab does not select it.
    [[nodiscard]] index_t operator()(index_t full) noexcept
    {
        const auto size = static_cast<std::ptrdiff_t>(selected_->size());
        const auto ends_before = [full](const interval& i) { return i.end <= full; };
        if (at_ > 0 && !ends_before((*selected_)[static_cast<std::size_t>(at_ - 1)]))
            at_ = 0;
        const auto all = selected_->begin();
        std::ptrdiff_t step = 1;
        while (step < size - at_ && ends_before(all[at_ + step - 1])) {
            at_ += step;
            step *= 2;
        }
        at_ = std::partition_point(all + at_, all + at_ + (std::min)(step, size - at_), ends_before) - all;
        if (at_ == size || all[at_].begin > full)
            return -1;
        return before_[static_cast<std::size_t>(at_)] + full - all[at_].begin;
    }

private:
    const std::vector<interval>* selected_;
    std::vector<index_t> before_;
    std::ptrdiff_t at_ = 0; ///< number of the interval that the last look-up found
};

} // namespace sdp::detail
