// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief Tests the properties of communicators on a stream alone. The oracle tests that they give the same bits as all others.

#include <unit/cases.hpp>

#include <support/allocation_count.hpp>
#include <support/stream_communicator.hpp>

#include <sdp/data_parallel.hpp>
#include <sdp/masking/backward.hpp>
#include <sdp/masking/forward.hpp>
#include <sdp/partition/neuron.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstring>
#include <string>
#include <vector>

namespace {

/// A matrix in half precision, as a framework would hand it over.
struct half_matrix {
    sdp::element_type type;
    std::array<sdp::index_t, 2> shape;
    std::vector<std::uint16_t> elements;
    std::array<sdp::index_t, 2> strides {shape[1], 1};
};

sdp::model square(sdp::element_type type, sdp::index_t size)
{
    sdp::model m;
    const auto g = m.add_group("neurons", size);
    m.add_parameter("rows", {size, size}, {.axes = {{0, g}}, .type = type});
    m.add_parameter("columns", {size, size}, {.axes = {{1, g}}, .type = type});
    return m;
}

double gradient_of(int rank, std::size_t parameter, sdp::index_t element)
{
    return static_cast<double>((element * 37 + rank * 11 + static_cast<int>(parameter) * 5) % 64) / 16 - 2;
}

} // namespace

template <> struct sdp::tensor_traits<half_matrix> {
    static void* data(const half_matrix& m) { return const_cast<std::uint16_t*>(m.elements.data()); }
    static element_type type(const half_matrix& m) { return m.type; }
    static std::array<index_t, 2> shape(const half_matrix& m) { return m.shape; }
    static std::array<index_t, 2> strides(const half_matrix& m) { return m.strides; }
};

TEST_CASE("gradients of half precision are summed in f32 and rounded once")
{
    for (const auto type : {sdp::element_type::bf16, sdp::element_type::f16})
        for (const double coverage : {0.5, 0.75, 1.0})
            sdp::run_workers(4, [&](sdp::thread_communicator inner) {
                constexpr sdp::index_t size = 24;
                const auto to_half = [&](float x) {
                    return type == sdp::element_type::bf16 ? sdp::tiles::to_bf16(x).bits : sdp::tiles::to_f16(x).bits;
                };
                sdp::data_parallel net(square(type, size), sdp::neuron_partition {.coverage = coverage}, sdp::forward_masking {},
                    support::stream_communicator(inner));
                std::vector<half_matrix> gradients;
                for (std::size_t p = 0; p < 2; ++p) {
                    const auto& slab = net.subnetwork().slabs(sdp::parameter_id(p))[0];
                    auto& g = gradients.emplace_back(half_matrix {type, {slab.shape[0], slab.shape[1]}, {}});
                    for (const auto element : unit::elements_of(slab, {size, size}))
                        g.elements.push_back(to_half(static_cast<float>(gradient_of(net.rank(), p, element))));
                    net.bind_gradient(sdp::parameter_id(p), g);
                }
                net.synchronize();
                for (std::size_t p = 0; p < 2; ++p) {
                    std::size_t i = 0;
                    for (const auto element : unit::elements_of(net.subnetwork().slabs(sdp::parameter_id(p))[0], {size, size})) {
                        const auto neuron = p == 0 ? element / size : element % size;
                        float sum = 0; // exact: the gradients are multiples of 1/16
                        std::size_t holders = 0;
                        for (const auto& unit : net.assignment().units(sdp::group_id(0)))
                            if (unit.begin <= neuron && neuron < unit.end)
                                for (const int rank : net.assignment().holders(unit).ranks()) {
                                    sum += static_cast<float>(gradient_of(rank, p, element));
                                    ++holders;
                                }
                        REQUIRE(gradients[p].elements[i++] == to_half(sum / static_cast<float>(holders)));
                    }
                }
            });
}

TEST_CASE("what has no meaning on a stream is refused")
{
    sdp::run_workers(2, [&](sdp::thread_communicator inner) {
        const auto m = square(sdp::element_type::f32, 8);
        const support::stream_communicator comm(inner);
        const auto make = [&](const sdp::synchronizer_options& options) {
            return [&m, comm, options] {
                sdp::data_parallel(m, sdp::neuron_partition {.coverage = 1}, sdp::forward_masking {}, comm, options);
            };
        };
        sdp::synchronizer_options shared, thread, memory;
        shared.shared_gradients = true;
        thread.local.progress_thread = true;
        memory.route = sdp::route_choice::memory;
        CHECK(unit::flaw(make(shared), {"shared_gradients", "stream"}) == "");
        CHECK(unit::flaw(make(thread), {"progress_thread", "stream"}) == "");
        CHECK(unit::flaw(make(memory), {"route is memory", "peer_memory"}) == "");

        sdp::data_parallel net(m, sdp::neuron_partition {.coverage = 1}, sdp::forward_masking {}, comm);
        std::vector<float> elements(128);
        sdp::tensor_view columns {elements.data(), {8, 8}, {16, 2}};
        CHECK(unit::flaw([&] { net.bind_gradient(sdp::parameter_id(0), columns); }, {"'rows'", "gradient", "not contiguous"})
            == "");
        columns.space = sdp::memory_space::cuda;
        CHECK(unit::flaw([&] { net.bind_gradient(sdp::parameter_id(0), columns); }, {"'rows'", "not in host memory"}) == "");
    });
}

TEST_CASE("after the first step nothing is allocated")
{
    for (const auto update : {sdp::update_mode::average, sdp::update_mode::owner_update})
        for (const auto wire : {sdp::wire_format::as_is, sdp::wire_format::bf16}) {
            std::array<long, 4> made {-1, -1, -1, -1};
            sdp::run_workers(4, [&](sdp::thread_communicator inner) {
                sdp::synchronizer_options options;
                options.update = update;
                options.wire = wire;
                options.bucket_bytes = 1;
                sdp::data_parallel net(square(sdp::element_type::f32, 16), sdp::neuron_partition {.coverage = 0.75},
                    sdp::backward_masking {}, support::stream_communicator(inner), options);
                std::vector<std::vector<float>> gradients, values;
                for (std::size_t p = 0; p < 2; ++p) {
                    const auto id = sdp::parameter_id(p);
                    for (std::size_t slab = 0; slab < net.subnetwork().slabs(id).size(); ++slab)
                        net.bind(id,
                            values.emplace_back(static_cast<std::size_t>(net.subnetwork().slabs(id)[slab].shape.product())),
                            slab);
                    gradients.emplace_back(static_cast<std::size_t>(net.subnetwork().shape(id).product()), 1.0F);
                    net.bind_gradient(id, gradients.back());
                }
                std::vector<float> shard(static_cast<std::size_t>(net.owned_elements()));
                const auto step = [&] {
                    net.begin_step(1.0 + net.rank());
                    net.synchronize();
                    (void)net.gradient_norm();
                    net.read_owned_gradients(shard);
                    net.publish_values();
                };
                step();
                made[static_cast<std::size_t>(net.rank())] = support::allocations_of([&] {
                    for (int i = 0; i < 20; ++i)
                        step();
                });
            });
            for (const auto count : made)
                CHECK(count == 0);
        }
}
