// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Ranks of the simulated NCCL as threads, and a worker for them.

#include "nccl.hpp"
#include "runtime.hpp"

#include <cuda/captured_step.hpp>

#include <sdp/comm/nccl.hpp>
#include <sdp/stream.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <exception>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace simulated {

/// Runs ranks as threads, and looks what they leave.
template <class Rank> void run_ranks(int size, Rank rank)
{
    simulated::devices = size;
    ncclUniqueId id;
    ncclGetUniqueId(&id);
    std::vector<std::string> threw(static_cast<std::size_t>(size));
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < size; ++i)
            threads.emplace_back([&, i] {
                cudaSetDevice(i);
                try {
                    rank(id, i);
                } catch (const std::exception& e) {
                    threw[static_cast<std::size_t>(i)] = e.what();
                }
            });
    }
    for (const auto& what : threw)
        CHECK(what == "");
    for (int tries = 0; tries < 1000 && simulated::nccl.alive > 0; ++tries)
        std::this_thread::sleep_for(std::chrono::milliseconds(1)); // some are aborted by threads that nobody waits for
    CHECK(simulated::nccl.alive == 0);
    CHECK(simulated::nccl.misused == 0);
    simulated::devices = 1;
}

/// Returns the message of the `peer_error` that a function throws.
inline std::string told_by(const std::function<void()>& f)
{
    try {
        f();
    } catch (const sdp::peer_error& e) {
        return e.what();
    }
    return "";
}

inline bool says(const std::string& text, const std::string& part)
{
    return text.find(part) != std::string::npos;
}

/// A worker with a parameter that all train, and its gradient.
class trainer {
public:
    static constexpr sdp::index_t size = 64;

    explicit trainer(const sdp::nccl_communicator& comm, sdp::synchronizer_options options = {})
        : gradient_(static_cast<std::size_t>(size * size))
        , net_(rows(), sdp::neuron_partition {.coverage = 1}, sdp::forward_masking {}, comm, options)
    {
        gradient_.set(std::vector<float>(static_cast<std::size_t>(size * size), static_cast<float>(net_.rank())));
        sdp::tensor_view view;
        view.data = gradient_.data();
        view.shape = {size, size};
        view.strides = sdp::row_major_strides(view.shape);
        view.space = sdp::memory_space::cuda;
        net_.bind_gradient(sdp::parameter_id(0), view);
    }

    void step() { net_.synchronize(); }
    double norm() { return net_.gradient_norm(); }
    [[nodiscard]] std::vector<float> gradient() const { return gradient_.get(); }
    [[nodiscard]] auto& net() { return net_; }

private:
    static sdp::model rows()
    {
        sdp::model m;
        m.add_parameter("rows", {size, size}, {.axes = {{0, m.add_group("neurons", size)}}});
        return m;
    }

    support::device_floats gradient_; ///< goes last: freeing waits for the device, as long as that waits for peers
    sdp::data_parallel<sdp::neuron_partition, sdp::forward_masking, sdp::nccl_communicator> net_;
};

} // namespace simulated
