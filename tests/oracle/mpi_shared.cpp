// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief Gradients that lie in the memory of the node: the same bits as by messages, on random models.

#include <support/mpi_main.hpp>

#include "random_models.hpp"

#include <sdp/comm/mpi.hpp>
#include <sdp/data_parallel.hpp>
#include <sdp/masking/forward.hpp>
#include <sdp/partition/neuron.hpp>

#include <cstring>
#include <vector>

namespace {

/// Means of one step, parameter by parameter; empty where nothing is trained.
template <class Net> std::vector<std::vector<float>> step(Net& net, std::uint64_t number)
{
    std::vector<std::vector<float>> out(net.model().parameters().size());
    std::vector<sdp::tensor_view> views(out.size());
    for (std::size_t p = 0; p < out.size(); ++p) {
        const auto id = sdp::parameter_id(p);
        if (!net.subnetwork().trains(id))
            continue;
        views[p] = net.gradient_memory(id);
        auto* const elements = static_cast<float*>(views[p].data);
        for (sdp::index_t i = 0; i < views[p].size(); ++i)
            elements[i] = static_cast<float>(oracle::mix(number * 977 + static_cast<std::uint64_t>(net.rank()) * 31 + p * 7
                                                 + oracle::mix(static_cast<std::uint64_t>(i)))
                              >> 40)
                * 0x1p-23F;
        net.bind_gradient(id, views[p]);
    }
    net.synchronize();
    for (std::size_t p = 0; p < out.size(); ++p) {
        const auto* const elements = static_cast<const float*>(views[p].data);
        out[p].assign(elements, elements + (elements == nullptr ? 0 : views[p].size()));
    }
    return out;
}

} // namespace

TEST_CASE("gradients in the memory of the node give the same bits as messages")
{
    const boost::mpi::communicator all;
    for (std::uint64_t seed = 1; seed <= 12; ++seed) {
        sdp::model m;
        const auto wide = m.add_group("wide", 16), narrow = m.add_group("narrow", 16);
        m.add_parameter("rows", {16 * 3, 50}, {.axes = {{0, wide}}});
        m.add_parameter("columns", {7, 16 * 40}, {.axes = {{1, wide}}}); // long runs: summed in place
        m.add_parameter("interleaved", {33, 16}, {.axes = {{1, narrow}}}); // short ones: packed
        m.add_parameter("pinned", {13}, {});
        const int holders = 1 + static_cast<int>(seed) % all.size();
        const sdp::neuron_partition policy {.coverage = static_cast<double>(holders) / all.size(), .seed = seed};
        sdp::synchronizer_options options;
        options.bucket_bytes = seed % 2 == 0 ? 1024 : 1 << 20;
        options.wire = seed % 3 == 0 ? sdp::wire_format::bf16 : sdp::wire_format::as_is;
        options.update = seed % 4 == 3 ? sdp::update_mode::owner_update : sdp::update_mode::average;
        options.shared_gradients = true;
        options.local.timeout = std::chrono::minutes(1);
        const sdp::mpi_options node {.node_ranks = seed % 5 == 4 ? 3 : 0};

        const sdp::mpi_communicator comm(all, node);
        sdp::data_parallel shared(m, policy, sdp::forward_masking {}, comm, options);
        options.route = sdp::route_choice::swap;
        sdp::data_parallel messages(m, policy, sdp::forward_masking {}, comm, options);
        CAPTURE(seed);
        for (std::uint64_t number = 0; number < 3; ++number) {
            const auto a = step(shared, number), b = step(messages, number);
            REQUIRE(a.size() == b.size());
            if (options.update == sdp::update_mode::owner_update) {
                // Only what is owned is a mean.
                const auto owned = static_cast<std::size_t>(shared.owned_elements());
                std::vector<float> x(owned), y(owned);
                shared.read_owned_gradients(x);
                messages.read_owned_gradients(y);
                REQUIRE(std::memcmp(x.data(), y.data(), owned * sizeof(float)) == 0);
                continue;
            }
            for (std::size_t p = 0; p < a.size(); ++p) {
                CAPTURE(p);
                REQUIRE(a[p].size() == b[p].size());
                REQUIRE(std::memcmp(a[p].data(), b[p].data(), a[p].size() * sizeof(float)) == 0);
            }
            CHECK(shared.step_traffic().bytes() == messages.step_traffic().bytes());
        }
    }
}

TEST_CASE("with shared gradients, one that lies elsewhere is an error")
{
    const boost::mpi::communicator all;
    sdp::model m;
    m.add_parameter("pinned", {13000}, {});
    sdp::synchronizer_options options;
    const sdp::mpi_communicator comm(all);
    sdp::data_parallel plain(m, sdp::pinned {}, sdp::forward_masking {}, comm, options);
    CHECK_THROWS_WITH_AS(static_cast<void>(plain.gradient_memory(sdp::parameter_id(0))),
        doctest::Contains("without the option shared_gradients"), sdp::error);
    options.shared_gradients = true;
    sdp::data_parallel net(m, sdp::pinned {}, sdp::forward_masking {}, comm, options);
    std::vector<float> elsewhere(13000);
    if (all.size() > 1)
        CHECK_THROWS_WITH_AS(
            net.bind_gradient(sdp::parameter_id(0), elsewhere), doctest::Contains("must lie in gradient_memory"), sdp::error);
    else
        net.bind_gradient(sdp::parameter_id(0), elsewhere); // nobody reaches it anyway
}
