// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief A class of the host that contains a synchronizer. Units that include this header read no header of the library.

#include <memory>
#include <vector>

namespace sdp {
class thread_communicator;
}

// [class]
enum class split { nothing, neurons, blocks };

/// Data-parallel training of a small network, as the rest of the program sees it.
class parallel_training {
public:
    struct choices { // a user makes them at run time
        split by = split::neurons;
        int holders = 2;
        bool backward = false;
    };

    parallel_training(const choices& c, const sdp::thread_communicator& comm);
    ~parallel_training();
    parallel_training(parallel_training&&) noexcept;
    parallel_training& operator=(parallel_training&&) noexcept;

    std::vector<std::vector<float>>& gradients(); ///< of the local tensors; empty where nothing is trained
    void average_gradients();
    double sum(double x);

private:
    struct parts; // known to one translation unit
    std::unique_ptr<parts> parts_;
};
// [class]
