// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Models and who holds what of them: synthetic layouts with runs of a given length, and those of a real model.
///
/// | name                 | model                          | holders                                                          |
/// |----------------------|--------------------------------|------------------------------------------------------------------|
/// | `scattered`          | matrices of about 2 MiB        | runs dealt to holder sets in no useful order: nothing merges     |
/// | `llama-130m-neuron`  | LLaMA of 130 million elements  | the library's neuron partition of heads and hidden neurons       |
/// | `llama-130m-block`   | the same                       | the library's block partition of attention and feed-forward      |

#include "options.hpp"

#include <sdp/sdp.hpp>

#include <functional>
#include <string>
#include <vector>

namespace overlap_bench {

struct layout {
    sdp::model model;
    std::function<sdp::assignment(const sdp::model&, int)> partition;
    std::size_t run_bytes = 0; ///< 0 where the partition decides
    int holders = 0;

    [[nodiscard]] std::size_t elements() const { return static_cast<std::size_t>(model.size()); }
};

/// Calls `f(layout)` for everything that was asked for.
/// @throws std::invalid_argument on a layout or a number of holders that does not exist
void for_each_layout(const options& o, int world, const std::function<void(const layout&)>& f);

/// The holders of each element of a parameter, straight from the assignment: what the result is checked against.
class element_holders {
public:
    element_holders(const sdp::model& m, const sdp::assignment& a, sdp::parameter_id id);

    [[nodiscard]] const std::vector<std::vector<int>>& sets() const noexcept { return sets_; }
    [[nodiscard]] std::size_t set_of(sdp::index_t element) const noexcept
    {
        return set_of_neuron_[static_cast<std::size_t>(element / inner_ % extent_)];
    }

private:
    std::vector<std::vector<int>> sets_;
    std::vector<std::uint32_t> set_of_neuron_; ///< by index on the split axis
    sdp::index_t inner_ = 1, extent_ = 1; ///< of the split axis
};

} // namespace overlap_bench
