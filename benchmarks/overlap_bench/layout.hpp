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
    std::size_t sets = 0; ///< of holders, that a synthetic layout takes in turn
    bool all_sets = true; ///< else there are more, and one run for each would make the model larger than asked for

    [[nodiscard]] std::size_t elements() const { return static_cast<std::size_t>(model.size()); }
};

/// A layout that was asked for, and its name, and how it is made when its turn comes: models of many sizes need not exist at
/// once.
struct planned_layout {
    std::string name; ///< layout/N/k and, if synthetic, model/run
    int holders = 0;
    std::size_t run_bytes = 0; ///< 0 where the partition decides
    std::function<layout()> make;
};

/// Everything that was asked for, in a fixed order.
/// @throws std::invalid_argument on a number of holders that does not exist, and on runs too long for the model
[[nodiscard]] std::vector<planned_layout> planned_layouts(const options& o, int world);

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
