// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <support/allocation_counter.hpp>

#include "cases.hpp"

#include <sdp/comm/threads.hpp>
#include <sdp/diagnostics.hpp>
#include <sdp/masking/backward.hpp>
#include <sdp/masking/forward.hpp>
#include <sdp/synchronizer.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <numeric>
#include <thread>

namespace {

using namespace std::chrono_literals;
using sdp::index_t;

std::uint64_t mix(std::uint64_t x)
{
    x += 0x9e3779b97f4a7c15U;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    return x ^ (x >> 31);
}

/// A gradient or value in [−1, 1) with 24 random bits, so that the order of a sum shows in its last bits.
float number(std::uint64_t what, std::size_t parameter, std::size_t element)
{
    return static_cast<float>(mix(mix(what) ^ mix(parameter * 1'000'003 + element)) >> 40) * 0x1p-23F - 1;
}

float gradient_of(int rank, std::uint64_t step, std::size_t parameter, std::size_t element)
{
    return number(step * 64 + static_cast<std::uint64_t>(rank), parameter, element);
}
float value_of(std::size_t parameter, std::size_t element)
{
    return number(0xABCDEF, parameter, element);
}

constexpr float untouched = 1e30F;

/// One worker with its tensors. The gradient of what it does not train is `untouched`.
struct worker {
    const unit::scene& scene;
    sdp::synchronizer<sdp::thread_communicator> sync;
    std::vector<std::vector<std::vector<float>>> values; ///< by parameter and slab
    std::vector<std::vector<float>> gradients; ///< by parameter
    std::vector<std::vector<std::vector<index_t>>> elements; ///< full indices, by parameter and slab

    worker(const unit::scene& s, sdp::thread_communicator comm, const sdp::synchronizer_options& options)
        : scene(s)
        , sync(s.model, s.residents, comm, options)
    {
        for (std::size_t p = 0; p < parameters(); ++p) {
            const auto id = sdp::parameter_id(p);
            auto& of_parameter = values.emplace_back();
            auto& places = elements.emplace_back();
            gradients.emplace_back();
            for (const auto& slab : sync.subnetwork().slabs(id)) {
                places.push_back(unit::elements_of(slab, s.model[id].shape));
                auto& local = of_parameter.emplace_back();
                for (const auto i : places.back())
                    local.push_back(value_of(p, static_cast<std::size_t>(i)));
                if (slab.trained)
                    gradients.back().assign(local.size(), untouched);
            }
        }
        for (std::size_t p = 0; p < parameters(); ++p) {
            for (std::size_t n = 0; n < values[p].size(); ++n)
                sync.bind(sdp::parameter_id(p), values[p][n], n);
            if (!gradients[p].empty())
                sync.bind_gradient(sdp::parameter_id(p), gradients[p]);
        }
    }

    [[nodiscard]] std::size_t parameters() const { return scene.model.parameters().size(); }
    [[nodiscard]] int rank() const { return sync.rank(); }

    /// Calls `visit(p, i, x)` with each entry of a gradient: element i of parameter p, trained here or not.
    void for_each_gradient(auto visit)
    {
        for (std::size_t p = 0; p < parameters(); ++p)
            for (std::size_t at = 0; at < gradients[p].size(); ++at)
                visit(p, static_cast<std::size_t>(elements[p][0][at]), gradients[p][at]);
    }
    void for_each_value(auto visit)
    {
        for (std::size_t p = 0; p < parameters(); ++p)
            for (std::size_t n = 0; n < values[p].size(); ++n)
                for (std::size_t at = 0; at < values[p][n].size(); ++at)
                    visit(p, static_cast<std::size_t>(elements[p][n][at]), values[p][n][at]);
    }
    [[nodiscard]] bool trains(std::size_t p, std::size_t i) const { return unit::has(scene.elements.trained[p][i], rank()); }

    void compute_gradients(std::uint64_t step)
    {
        for_each_gradient(
            [&](std::size_t p, std::size_t i, float& x) { x = trains(p, i) ? gradient_of(rank(), step, p, i) : untouched; });
    }

    /// The mean over who trains an element, summed in rank order.
    [[nodiscard]] float mean(std::uint64_t step, std::size_t p, std::size_t i, bool over_world = false) const
    {
        float sum = 0;
        bool first = true;
        for (int r = 0; r < scene.world; ++r)
            if (unit::has(scene.elements.trained[p][i], r)) {
                sum = first ? gradient_of(r, step, p, i) : sum + gradient_of(r, step, p, i);
                first = false;
            }
        return sum / static_cast<float>(over_world ? scene.world : unit::count(scene.elements.trained[p][i]));
    }

    /// `ready` in a random order, and `finish`.
    void exchange(unit::random& r)
    {
        std::vector<std::size_t> order;
        for (std::size_t p = 0; p < parameters(); ++p)
            order.insert(order.begin() + r.below(static_cast<int>(order.size()) + 1), p);
        for (const auto p : order) {
            sync.ready(sdp::parameter_id(p));
            if (r.chance(30))
                sync.progress();
        }
        sync.finish();
    }
};

sdp::synchronizer_options random_options(std::uint64_t seed)
{
    unit::random r(seed);
    sdp::synchronizer_options out;
    out.normalizer = r.chance(50) ? sdp::normalizer::holders : sdp::normalizer::world;
    out.update = r.chance(50) ? sdp::update_mode::average : sdp::update_mode::owner_update;
    out.bucket_bytes = r.chance(30) ? 1 : r.chance(50) ? static_cast<std::size_t>(r.between(8, 400)) : std::size_t {1} << 20;
    out.local.buckets_in_flight = r.between(1, 4);
    out.local.layout = r.chance(50) ? sdp::value_layout::whole : sdp::value_layout::split;
    out.local.timeout = 60s;
    constexpr sdp::route_choice routes[] = {sdp::route_choice::fastest, sdp::route_choice::swap, sdp::route_choice::two_sided};
    out.route = routes[mix(seed) % 3];
    return out;
}

/// Runs `each(worker)` on a worker per rank of a scene.
void run(const unit::scene& s, const sdp::synchronizer_options& options, auto each)
{
    sdp::run_workers(s.world, [&](sdp::thread_communicator comm) {
        worker w(s, comm, options);
        each(w);
    });
}

/// A scene with that many workers, everything pinned: plain data parallelism over a few parameters.
unit::scene dense(int world, int parameters = 3)
{
    sdp::model m;
    for (int p = 0; p < parameters; ++p)
        m.add_parameter("parameter" + std::to_string(p), {p + 2, 3});
    sdp::assignment a(m, world);
    auto elements = unit::elements_of(m, a, {});
    auto residents = sdp::residency(m, a, sdp::forward_masking {});
    return {std::move(m), world, std::move(a), {}, std::move(elements), std::move(residents)};
}

bool same_bits(double a, double b)
{
    return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b);
}

} // namespace

TEST_CASE("a step leaves the mean over the trainers, to the bit, and touches nothing else")
{
    for (std::uint64_t seed = 0; seed < 160; ++seed) {
        const auto s = unit::random_scene(seed);
        const auto options = random_options(seed);
        const bool over_world = options.normalizer == sdp::normalizer::world;
        const bool owners_only = options.update == sdp::update_mode::owner_update;
        run(s, options, [&](worker& w) {
            unit::random r(seed * 100 + static_cast<std::uint64_t>(w.rank()));
            CAPTURE(seed);
            for (std::uint64_t step = 1; step <= 2; ++step) {
                w.compute_gradients(step);
                w.exchange(r);
                if (owners_only) {
                    std::vector<float> shard(static_cast<std::size_t>(w.sync.owned_elements()));
                    w.sync.read_owned_gradients(shard);
                    const auto& plan = w.sync.plan();
                    std::size_t at = 0;
                    for (std::size_t p = 0; p < w.parameters(); ++p)
                        for (const auto& piece : plan.of(p))
                            if (plan.owner_of(piece) == w.rank())
                                unit::for_each_element(plan, piece, [&](std::uint64_t local) {
                                    const auto i = static_cast<std::size_t>(w.elements[p][piece.slab][local]);
                                    REQUIRE(shard[at++] == w.mean(step, p, i, over_world));
                                });
                    REQUIRE(at == shard.size());
                    w.for_each_gradient([&](std::size_t p, std::size_t i, float x) {
                        if (!w.trains(p, i))
                            REQUIRE(x == untouched);
                    });
                    continue;
                }
                w.for_each_gradient([&](std::size_t p, std::size_t i, float x) {
                    REQUIRE(x == (w.trains(p, i) ? w.mean(step, p, i, over_world) : untouched));
                });
            }
        });
    }
}

TEST_CASE("weights give the weighted mean over the trainers, the same bits to all")
{
    for (std::uint64_t seed = 0; seed < 60; ++seed) {
        const auto s = unit::random_scene(seed);
        auto options = random_options(seed);
        options.update = sdp::update_mode::average;
        // Some count for nothing; and only ratios matter, even where a float cannot hold the weights.
        const double scale = seed % 3 == 0 ? 1e-50 : seed % 3 == 1 ? 1 : 1e60;
        std::vector<double> weights;
        for (int rank = 0; rank < s.world; ++rank) {
            const auto drawn = mix(seed + static_cast<std::uint64_t>(rank)) % 100;
            weights.push_back(drawn < 30 && rank > 0 ? 0.0 : scale * static_cast<double>(1 + drawn));
        }
        double everybody = 0;
        for (const double weight : weights)
            everybody += weight;
        std::vector<std::vector<std::vector<float>>> found(static_cast<std::size_t>(s.world));
        run(s, options, [&](worker& w) {
            unit::random r(seed);
            CAPTURE(seed);
            const double weight = weights[static_cast<std::size_t>(w.rank())];
            w.compute_gradients(1);
            if (weight == 0)
                w.for_each_gradient([&](std::size_t p, std::size_t i, float& x) {
                    x = w.trains(p, i) ? std::numeric_limits<float>::quiet_NaN() : untouched;
                });
            w.sync.begin_step(weight);
            w.exchange(r);
            auto& mine = found[static_cast<std::size_t>(w.rank())];
            for (const auto& p : s.model.parameters())
                mine.emplace_back(static_cast<std::size_t>(p.size()), untouched);
            w.for_each_gradient([&](std::size_t p, std::size_t i, float x) {
                mine[p][i] = x;
                if (!w.trains(p, i)) {
                    REQUIRE(x == untouched);
                    return;
                }
                double sum = 0, divisor = 0;
                for (int rank = 0; rank < s.world; ++rank)
                    if (unit::has(s.elements.trained[p][i], rank)) {
                        sum += weights[static_cast<std::size_t>(rank)] * static_cast<double>(gradient_of(rank, 1, p, i));
                        divisor += weights[static_cast<std::size_t>(rank)];
                    }
                const bool counted = divisor > 0;
                if (options.normalizer == sdp::normalizer::world)
                    divisor = everybody;
                REQUIRE(std::abs(static_cast<double>(x) - (counted ? sum / divisor : 0.0)) < 2e-6);
            });
            // The next step is unweighted again unless it says so.
            w.compute_gradients(2);
            w.exchange(r);
            w.for_each_gradient([&](std::size_t p, std::size_t i, float x) {
                if (w.trains(p, i))
                    REQUIRE(x == w.mean(2, p, i, options.normalizer == sdp::normalizer::world));
            });
        });
        for (std::size_t p = 0; p < s.model.parameters().size(); ++p)
            for (std::size_t i = 0; i < s.elements.trained[p].size(); ++i) {
                float first = untouched;
                for (const auto& mine : found)
                    if (mine[p][i] != untouched) {
                        first = first == untouched ? mine[p][i] : first;
                        REQUIRE(mine[p][i] == first);
                    }
            }
    }
}

TEST_CASE("a worker of weight zero counts for nothing")
{
    const auto s = dense(3);
    run(s, {}, [&](worker& w) {
        unit::random r(1);
        w.compute_gradients(1);
        w.sync.begin_step(w.rank() == 1 ? 5.0 : 0.0);
        w.exchange(r);
        w.for_each_gradient([&](std::size_t p, std::size_t i, float x) { CHECK(x == doctest::Approx(gradient_of(1, 1, p, i))); });
    });
}

TEST_CASE("weights that give no mean are refused on every rank")
{
    const auto s = dense(3);
    const auto refuses = [&](std::vector<double> weights, std::initializer_list<std::string_view> words) {
        run(s, {}, [&](worker& w) {
            CHECK(unit::flaw([&] { w.sync.begin_step(weights[static_cast<std::size_t>(w.rank())]); }, words) == "");
        });
    };
    refuses({1, -2, 1}, {"rank 1", "-2", "finite"});
    refuses({1, 1, std::nan("")}, {"rank 2", "nan", "finite"});
    refuses({std::numeric_limits<double>::infinity(), 1, 1}, {"rank 0", "inf"});
    refuses({0, 0, 0}, {"all ranks", "weight 0"});
}

TEST_CASE("nothing is exchanged in a pause, and the step after it is a plain one")
{
    const auto s = dense(3);
    run(s, {}, [&](worker& w) {
        unit::random r(1);
        {
            const auto outer = w.sync.no_sync();
            for (int micro = 0; micro < 2; ++micro) {
                const auto inner = w.sync.no_sync(); // pauses nest
                w.compute_gradients(1);
                w.sync.begin_step(-1);
                w.exchange(r);
                w.exchange(r); // ready twice, but there is no step
            }
            w.exchange(r);
            w.for_each_gradient([&](std::size_t p, std::size_t i, float x) {
                REQUIRE(x == (w.trains(p, i) ? gradient_of(w.rank(), 1, p, i) : untouched));
            });
        }
        CHECK(w.sync.total_traffic() == sdp::traffic {});
        w.exchange(r);
        w.for_each_gradient(
            [&](std::size_t p, std::size_t i, float x) { REQUIRE(x == (w.trains(p, i) ? w.mean(1, p, i) : untouched)); });
    });
}

TEST_CASE("bytes sent are the formula's, step by step and in all")
{
    for (std::uint64_t seed = 0; seed < 120; ++seed) {
        const auto s = unit::random_scene(seed);
        const auto options = random_options(seed);
        run(s, options, [&](worker& w) {
            unit::random r(seed);
            CAPTURE(seed);
            const auto formula = sdp::bytes_per_step(s.model, s.residents, w.rank(), options.update);
            REQUIRE(w.sync.total_traffic() == sdp::traffic {});
            for (std::uint64_t step = 1; step <= 3; ++step) {
                w.compute_gradients(step);
                w.exchange(r);
                const auto before_values = w.sync.step_traffic();
                REQUIRE(before_values.value_bytes == 0);
                w.sync.publish_values();
                const auto sent = w.sync.step_traffic();
                REQUIRE(sent.bytes() == formula);
                REQUIRE(sent.bytes() == sent.reduce_bytes + sent.publish_bytes + sent.value_bytes);
                REQUIRE(sent.reduce_bytes == before_values.reduce_bytes);
                REQUIRE(sent.control_bytes == 0);
                REQUIRE((sent.messages > 0) == (sent.bytes() > 0));
                REQUIRE(w.sync.total_traffic().bytes() == step * formula);
                if (options.update == sdp::update_mode::owner_update)
                    REQUIRE(sent.publish_bytes == 0);
                if (s.regime.what == unit::any_regime::kind::forward && options.update == sdp::update_mode::average)
                    REQUIRE(sent.value_bytes == 0);
            }
            // Control data is counted apart, and belongs to the step after which it was sent.
            (void)w.sync.gradient_norm();
            double one = 1;
            w.sync.reduce_scalars(std::span(&one, 1));
            REQUIRE(w.sync.step_traffic().bytes() == formula);
            REQUIRE((w.sync.step_traffic().control_bytes > 0) == (s.world > 1));
        });
    }
}

TEST_CASE("one message per peer and phase, however many holder sets there are")
{
    const auto m = unit::one_group(64, 10);
    sdp::assignment a(m, 5);
    std::vector<sdp::neuron_unit> units;
    for (index_t n = 0; n < 64; ++n) // 31 sets
        units.push_back({n, n + 1, unit::set_of(static_cast<unit::mask>(n % 31 + 1))});
    a.assign(sdp::group_id(0), units);
    const unit::scene s {m, 5, a, {}, unit::elements_of(m, a, {}), sdp::residency(m, a, sdp::forward_masking {})};
    run(s, {}, [&](worker& w) {
        unit::random r(1);
        w.compute_gradients(1);
        w.exchange(r);
        CHECK(w.sync.step_traffic().messages == 4 + 4);
        CHECK(w.sync.plan().classes.size() == 16);
    });
}

TEST_CASE("a full parameter is put together at any rank")
{
    for (std::uint64_t seed = 0; seed < 100; ++seed) {
        const auto s = unit::random_scene(seed);
        run(s, random_options(seed), [&](worker& w) {
            CAPTURE(seed);
            for (int root = 0; root < s.world; ++root)
                for (std::size_t p = 0; p < w.parameters(); ++p) {
                    std::vector<float> full(
                        root == w.rank() ? static_cast<std::size_t>(s.model.parameters()[p].size()) : 0, untouched);
                    w.sync.assemble(sdp::parameter_id(p), root, full);
                    for (std::size_t i = 0; i < full.size(); ++i)
                        REQUIRE(full[i] == value_of(p, i));
                }
            REQUIRE(w.sync.total_traffic().bytes() == 0); // control data only
        });
    }
}

TEST_CASE("an owner's update reaches everybody who stores the value")
{
    for (std::uint64_t seed = 0; seed < 120; ++seed) {
        const auto s = unit::random_scene(seed);
        auto options = random_options(seed);
        options.update = sdp::update_mode::owner_update;
        run(s, options, [&](worker& w) {
            unit::random r(seed);
            CAPTURE(seed);
            w.compute_gradients(1);
            w.exchange(r);
            const auto n = static_cast<std::size_t>(w.sync.owned_elements());
            std::vector<float> gradients(n), values(n);
            w.sync.read_owned_gradients(gradients);
            w.sync.read_owned_values(values);
            index_t offset = 0;
            for (const auto& range : w.sync.owned_ranges()) {
                REQUIRE(range.offset == offset);
                REQUIRE(range.size > 0);
                offset += range.size;
            }
            REQUIRE(offset == w.sync.owned_elements());
            for (std::size_t i = 0; i < n; ++i)
                values[i] -= 0.5F * gradients[i];
            w.sync.write_owned_values(values);
            w.sync.publish_values();
            const bool over_world = options.normalizer == sdp::normalizer::world;
            w.for_each_value([&](std::size_t p, std::size_t i, float x) {
                REQUIRE(x == value_of(p, i) - 0.5F * w.mean(1, p, i, over_world));
            });
        });
    }
}

TEST_CASE("fresh values reach those who store without training")
{
    for (std::uint64_t seed = 0; seed < 120; ++seed) {
        const auto s = unit::random_scene(seed);
        auto options = random_options(seed);
        options.update = sdp::update_mode::average;
        run(s, options, [&](worker& w) {
            CAPTURE(seed);
            w.for_each_value([&](std::size_t p, std::size_t i, float& x) { x = w.trains(p, i) ? 3 * x : untouched; });
            w.sync.publish_values();
            w.for_each_value([&](std::size_t p, std::size_t i, float x) { REQUIRE(x == 3 * value_of(p, i)); });
        });
    }
}

TEST_CASE("scalars are summed in rank order")
{
    for (const int world : {1, 2, 5, 8}) {
        const auto s = dense(world);
        run(s, {}, [&](worker& w) {
            std::vector<double> values;
            for (std::size_t i = 0; i < 20; ++i)
                values.push_back(std::ldexp(static_cast<double>(number(static_cast<std::uint64_t>(w.rank()), 0, i)),
                    static_cast<int>(mix(i + static_cast<std::uint64_t>(w.rank())) % 60)));
            w.sync.reduce_scalars(values);
            for (std::size_t i = 0; i < 20; ++i) {
                double sum = 0;
                for (int rank = 0; rank < world; ++rank)
                    sum += std::ldexp(static_cast<double>(number(static_cast<std::uint64_t>(rank), 0, i)),
                        static_cast<int>(mix(i + static_cast<std::uint64_t>(rank)) % 60));
                CHECK(same_bits(values[i], sum));
            }
            w.sync.reduce_scalars(std::span<double> {}); // nothing to sum is no error
        });
    }
}

TEST_CASE("the gradient norm counts each element once, with the same bits everywhere and for every bucket size")
{
    for (std::uint64_t seed = 0; seed < 60; ++seed) {
        const auto s = unit::random_scene(seed);
        double expected = 0;
        std::vector<double> found;
        for (int variant = 0; variant < 5; ++variant) {
            sdp::synchronizer_options options;
            options.bucket_bytes = variant == 0 ? 1 : std::size_t {16} << (3 * variant);
            options.local.buckets_in_flight = 1 + variant;
            options.local.layout = variant % 2 == 0 ? sdp::value_layout::whole : sdp::value_layout::split;
            options.update = variant < 3 ? sdp::update_mode::average : sdp::update_mode::owner_update;
            std::vector<double> norms(static_cast<std::size_t>(s.world));
            run(s, options, [&](worker& w) {
                unit::random r(seed + static_cast<std::uint64_t>(variant));
                w.compute_gradients(1);
                w.exchange(r);
                norms[static_cast<std::size_t>(w.rank())] = w.sync.gradient_norm();
                if (w.rank() > 0 || variant > 0)
                    return;
                for (std::size_t p = 0; p < w.parameters(); ++p)
                    for (std::size_t i = 0; i < s.elements.trained[p].size(); ++i)
                        expected += static_cast<double>(w.mean(1, p, i)) * static_cast<double>(w.mean(1, p, i));
            });
            found.insert(found.end(), norms.begin(), norms.end());
        }
        CAPTURE(seed);
        REQUIRE(found[0] == doctest::Approx(std::sqrt(expected)).epsilon(1e-12));
        for (const double norm : found)
            REQUIRE(same_bits(norm, found[0]));
    }
}

TEST_CASE("a NaN or infinite gradient is reported on every rank, with the parameter and the rank that owns it")
{
    const auto s = dense(3);
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()})
        for (const int source : {0, 2})
            run(s, {}, [&](worker& w) {
                unit::random r(1);
                w.compute_gradients(1);
                // Parameter 1 has nine elements; the last three belong to rank 2 or to one next to it, as shares go round.
                if (w.rank() == source)
                    w.gradients[1][8] = bad;
                w.exchange(r);
                int owner = -1;
                for (const auto& piece : w.sync.plan().of(1))
                    unit::for_each_element(w.sync.plan(), piece, [&](std::uint64_t at) {
                        if (at == 8)
                            owner = w.sync.plan().owner_of(piece);
                    });
                const auto named = "rank " + std::to_string(owner);
                CHECK(unit::flaw<sdp::nonfinite_error>(
                          [&] { (void)w.sync.gradient_norm(); }, {"'parameter1'", named, "NaN or infinite", "not finite"})
                    == "");
                try {
                    (void)w.sync.gradient_norm();
                } catch (const sdp::nonfinite_error& e) {
                    CHECK(e.rank() == owner);
                }
                CHECK(!std::isfinite(w.gradients[1][8])); // reported, not repaired
                w.compute_gradients(2);
                w.exchange(r);
                CHECK(w.sync.gradient_norm() > 0); // and the next step is as good as any
            });
}

TEST_CASE("parameters of both element types are exchanged side by side")
{
    sdp::model m;
    m.add_parameter("single", {5});
    m.add_parameter("double", {4}, {.type = sdp::element_type::f64});
    m.add_parameter("single again", {3});
    const sdp::residency residents(m, sdp::assignment(m, 3), sdp::forward_masking {});
    sdp::run_workers(3, [&](sdp::thread_communicator comm) {
        sdp::synchronizer sync(m, residents, comm, sdp::synchronizer_options {});
        const auto rank = static_cast<double>(comm.rank());
        std::vector<float> a(5, static_cast<float>(rank)), c(3, 1.0F);
        std::vector<double> b(4, 0.1 * rank);
        sync.ready(sdp::parameter_id(2), c);
        sync.ready(sdp::parameter_id(1), b);
        sync.ready(sdp::parameter_id(0), a);
        sync.finish();
        CHECK(a == std::vector<float>(5, 1.0F));
        CHECK(b == std::vector<double>(4, (0.0 + 0.1 + 0.2) / 3));
        CHECK(c == std::vector<float>(3, 1.0F));
        CHECK(sync.gradient_norm() == doctest::Approx(std::sqrt(5.0 + 4 * 0.01 + 3)));
        std::vector<float> shard(static_cast<std::size_t>(sync.owned_elements()));
        CHECK(unit::flaw([&] { sync.read_owned_gradients(shard); }, {"'double'", "f64", "f32", "one element type"}) == "");
    });
}

TEST_CASE("strided gradients and values are read and written in place")
{
    const auto m = unit::one_group(4, 3);
    sdp::assignment a(m, 2);
    a.assign(sdp::group_id(0), std::vector<sdp::neuron_unit> {{0, 2, {0, 1}}, {2, 3, {0}}, {3, 4, {1}}});
    const sdp::residency residents(m, a, sdp::backward_masking {});
    sdp::run_workers(2, [&](sdp::thread_communicator comm) {
        sdp::synchronizer sync(m, residents, comm, sdp::synchronizer_options {});
        const int rank = comm.rank();
        // Column-major 4×3, every other element a gap.
        std::vector<float> gradient(24, untouched), value(24, untouched);
        const auto at = [](index_t i, index_t j) { return static_cast<std::size_t>(2 * (i + 4 * j)); };
        const auto view = [](std::vector<float>& of) { return sdp::tensor_view {of.data(), {4, 3}, {2, 8}}; };
        for (index_t i = 0; i < 4; ++i)
            for (index_t j = 0; j < 3; ++j) {
                gradient[at(i, j)] = static_cast<float>(10 * i + j + 100 * rank);
                value[at(i, j)] = static_cast<float>(1000 * (rank + 1) + 10 * i + j);
            }
        sync.bind(sdp::parameter_id(0), view(value));
        sync.ready(sdp::parameter_id(0), view(gradient));
        sync.finish();
        sync.publish_values();
        for (index_t i = 0; i < 4; ++i)
            for (index_t j = 0; j < 3; ++j) {
                CHECK(gradient[at(i, j)] == static_cast<float>(10 * i + j + (i < 2 ? 50 : 100 * rank)));
                const int from = i == 2 ? 0 : i == 3 ? 1 : rank;
                CHECK(value[at(i, j)] == static_cast<float>(1000 * (from + 1) + 10 * i + j));
                CHECK(gradient[at(i, j) + 1] == untouched);
                CHECK(value[at(i, j) + 1] == untouched);
            }
    });
}

TEST_CASE("a gradient may come in another tensor at every step")
{
    const auto s = dense(2);
    run(s, {}, [&](worker& w) {
        for (std::uint64_t step = 1; step <= 3; ++step) {
            std::vector<std::vector<float>> moved;
            for (std::size_t p = 0; p < w.parameters(); ++p) {
                auto& g = moved.emplace_back();
                for (std::size_t i = 0; i < s.elements.trained[p].size(); ++i)
                    g.push_back(gradient_of(w.rank(), step, p, i));
            }
            for (std::size_t p = w.parameters(); p-- > 0;)
                w.sync.ready(sdp::parameter_id(p), moved[p]);
            w.sync.finish();
            for (std::size_t p = 0; p < w.parameters(); ++p)
                for (std::size_t i = 0; i < moved[p].size(); ++i)
                    CHECK(moved[p][i] == w.mean(step, p, i));
        }
        w.for_each_gradient([](std::size_t, std::size_t, float x) { CHECK(x == untouched); });
    });
}

TEST_CASE("synchronize is ready for all, and finish")
{
    const auto s = dense(3);
    run(s, {}, [&](worker& w) {
        w.compute_gradients(1);
        w.sync.synchronize();
        w.for_each_gradient([&](std::size_t p, std::size_t i, float x) { CHECK(x == w.mean(1, p, i)); });
    });
}

TEST_CASE("misuse is refused with a sentence that names parameter and rank")
{
    const auto m = unit::one_group(4, 3);
    sdp::assignment a(m, 2);
    a.assign(sdp::group_id(0), std::vector<sdp::neuron_unit> {{0, 3, {0}}, {3, 4, {1}}});
    auto extended = m;
    extended.add_parameter("bias", {5});
    const auto only = extended.add_block("only");
    extended.add_parameter("branch", {2}, {.within = only});
    sdp::assignment b(extended, 2);
    b.assign(sdp::group_id(0), std::vector<sdp::neuron_unit> {{0, 3, {0}}, {3, 4, {1}}});
    b.assign(only, {0});
    const sdp::residency residents(extended, b, sdp::forward_masking {});
    const auto weight = extended.find("weight"), bias = extended.find("bias"), branch = extended.find("branch");

    sdp::run_workers(2, [&](sdp::thread_communicator comm) {
        sdp::synchronizer sync(extended, residents, comm, sdp::synchronizer_options {});
        const int rank = comm.rank();
        const auto me = "rank " + std::to_string(rank);
        std::vector<float> five(5), own(rank == 0 ? 9 : 3), nine(9), two(2);
        std::vector<double> wide(5);

        // Shapes and types, of values and of gradients, bound or passed.
        const std::vector<float> wrong(rank == 0 ? 3 : 9);
        const std::string_view expected = rank == 0 ? "[3, 3]" : "[1, 3]";
        const std::string_view found = rank == 0 ? "[3]" : "[9]";
        CHECK(unit::flaw([&] { sync.bind(weight, wrong); }, {"'weight'", "value", me, found, expected}) == "");
        CHECK(unit::flaw([&] { sync.bind_gradient(weight, wrong); }, {"'weight'", "gradient", me, found, expected}) == "");
        CHECK(unit::flaw([&] { sync.ready(weight, wrong); }, {"'weight'", "gradient", me, found, expected}) == "");
        CHECK(unit::flaw([&] { sync.bind(bias, wide); }, {"'bias'", "value", me, "f64", "f32"}) == "");
        CHECK(unit::flaw([&] { sync.bind_gradient(bias, wide); }, {"'bias'", "gradient", me, "f64", "f32"}) == "");
        CHECK(unit::flaw([&] { sync.ready(bias, wide); }, {"'bias'", "gradient", me, "f64", "f32"}) == "");
        auto device = sdp::view_of(five);
        device.space = sdp::memory_space::cuda;
        CHECK(unit::flaw([&] { sync.bind(bias, device); }, {"'bias'", me, "host"}) == "");
        CHECK(unit::flaw([&] { sync.bind(bias, five, 1); }, {"'bias'", "1 local tensors", me, "number 1"}) == "");
        CHECK(unit::flaw([&] { sync.bind(sdp::parameter_id(3), five); }, {"parameter number 3", "3"}) == "");
        CHECK(unit::flaw([&] { sync.ready(sdp::parameter_id(77)); }, {"parameter number 77", "3"}) == "");
        if (rank == 1) {
            CHECK(unit::flaw([&] { sync.bind(branch, two); }, {"'branch'", "0 local tensors", me}) == "");
            CHECK(unit::flaw([&] { sync.bind_gradient(branch, two); }, {"'branch'", "not trained", me}) == "");
        }

        // Nothing bound.
        CHECK(unit::flaw([&] { sync.ready(weight); }, {"'weight'", me, "no gradient is bound"}) == "");
        CHECK(unit::flaw([&] { (void)sync.gradient_norm(); }, {"gradient_norm", me, "after finish"}) == "");
        CHECK(unit::flaw([&] { sync.read_owned_values(std::vector<float>(static_cast<std::size_t>(sync.owned_elements()))); },
                  {"'weight'", "not bound", me})
            == "");
        CHECK(unit::flaw([&] { sync.read_owned_gradients(std::vector<float>(static_cast<std::size_t>(sync.owned_elements()))); },
                  {"'weight'", "gradient", me})
            == "");
        CHECK(unit::flaw([&] { sync.read_owned_values(std::vector<float>(1)); }, {me, "[1]", "expected"}) == "");
        CHECK(unit::flaw([&] { sync.assemble(bias, 2, five); }, {"root 2", "0 to 1"}) == "");
        CHECK(unit::flaw([&] { sync.assemble(bias, rank, two); }, {"'bias'", me, "[2]", "[5]"}) == "");
        CHECK(unit::flaw([&] { sync.assemble(bias, rank, five); }, {"'bias'", "not bound", me}) == "");

        // The order of a step.
        CHECK(unit::flaw([&] { sync.finish(); }, {me, "was not ready"}) == "");
        sync.ready(weight, own);
        CHECK(unit::flaw([&] { sync.ready(weight); }, {"'weight'", "ready twice", me}) == "");
        CHECK(unit::flaw([&] { sync.ready(weight, own); }, {"'weight'", "ready twice", me}) == "");
        CHECK(unit::flaw([&] { sync.begin_step(1); }, {"begin_step", me, "open"}) == "");
        CHECK(unit::flaw([&] { (void)sync.gradient_norm(); }, {"gradient_norm", me, "after finish"}) == "");
        if (rank == 0)
            sync.ready(branch, two);
        else
            sync.ready(branch); // not trained here: nothing to say
        CHECK(unit::flaw([&] { sync.finish(); }, {"'bias'", "not ready", me, "every trained parameter"}) == "");
        sync.ready(bias, five);
        sync.finish(); // what was missing may still come
        CHECK(sync.total_traffic().bytes() == 5 * 4); // the bias alone is shared, and nothing was sent before all was right
    });
}

TEST_CASE("values that take part must be bound before they are published")
{
    const auto m = unit::one_group(4);
    sdp::assignment a(m, 2);
    a.assign(sdp::group_id(0), std::vector<sdp::neuron_unit> {{0, 2, {0}}, {2, 4, {1}}});
    const sdp::residency residents(m, a, sdp::backward_masking {});
    sdp::run_workers(2, [&](sdp::thread_communicator comm) {
        sdp::synchronizer_options options;
        options.local.layout = sdp::value_layout::split;
        sdp::synchronizer sync(m, residents, comm, options);
        const auto me = "rank " + std::to_string(comm.rank());
        std::vector<float> trained(2), frozen(2);
        CHECK(unit::flaw([&] { sync.publish_values(); }, {"'weight'", "not bound", me}) == "");
        sync.bind(sdp::parameter_id(0), trained);
        CHECK(unit::flaw([&] { sync.publish_values(); }, {"'weight'", "local tensor 1", "not bound", me}) == "");
        sync.bind(sdp::parameter_id(0), frozen, 1);
        CHECK_NOTHROW(sync.publish_values());
    });
}

TEST_CASE("options outside their range, or another world, are refused")
{
    const auto s = dense(2);
    sdp::run_workers(2, [&](sdp::thread_communicator comm) {
        sdp::synchronizer_options no_bytes, no_buckets, no_time;
        no_time.local.timeout = 0ms;
        no_bytes.bucket_bytes = 0;
        no_buckets.local.buckets_in_flight = 0;
        using synchronizer = sdp::synchronizer<sdp::thread_communicator>;
        CHECK(unit::flaw([&] { synchronizer(s.model, s.residents, comm, no_bytes); }, {"bucket_bytes", "0", "at least 1"}) == "");
        CHECK(unit::flaw([&] { synchronizer(s.model, s.residents, comm, no_buckets); }, {"buckets_in_flight", "0", "at least 1"})
            == "");
        CHECK(unit::flaw([&] { synchronizer(s.model, s.residents, comm, no_time); }, {"timeout", "0 ms", "more than 0"}) == "");
        const auto other = dense(3);
        CHECK(unit::flaw([&] { synchronizer(other.model, other.residents, comm, {}); }, {"2 ranks", "made for 3"}) == "");
    });
    sdp::model half;
    half.add_parameter("half", {4}, {.type = sdp::element_type::bf16});
    const sdp::residency residents(half, sdp::assignment(half, 1), sdp::forward_masking {});
    sdp::run_workers(1, [&](sdp::thread_communicator comm) {
        CHECK(unit::flaw([&] { sdp::synchronizer(half, residents, comm, sdp::synchronizer_options {}); }, {"bf16", "f32 or f64"})
            == "");
    });
}

TEST_CASE("a peer that does not come is an error that names it and the bucket")
{
    const auto s = dense(2);
    std::atomic<bool> seen = false;
    sdp::synchronizer_options options;
    options.local.timeout = 50ms;
    run(s, options, [&](worker& w) {
        if (w.rank() == 1) {
            while (!seen)
                std::this_thread::sleep_for(1ms);
            return;
        }
        w.compute_gradients(1);
        unit::random r(1);
        int waiting = -1, late = -1;
        const auto found = unit::flaw<sdp::timeout_error>(
            [&] {
                try {
                    w.exchange(r);
                } catch (const sdp::peer_error& e) {
                    waiting = e.rank();
                    late = e.peer();
                    throw;
                }
            },
            {"bucket 0 of 1", "gradients", "rank 1"});
        CHECK((waiting == 0 && late == 1));
        seen = true;
        CHECK(found == "");
        w.sync.comm().abort(); // the exchange is still under way; a group with a dead peer has ended
    });
}

TEST_CASE("a step allocates nothing, once the first ones are through")
{
    struct way {
        sdp::update_mode update;
        sdp::route_choice route;
        sdp::wire_format wire;
    };
    std::vector<way> ways;
    for (const auto update : {sdp::update_mode::average, sdp::update_mode::owner_update})
        for (const auto route :
            {sdp::route_choice::fastest, sdp::route_choice::memory, sdp::route_choice::swap, sdp::route_choice::two_sided})
            for (const auto wire : {sdp::wire_format::as_is, sdp::wire_format::bf16, sdp::wire_format::f16})
                ways.push_back({update, route, wire});
    for (const auto& each : ways) {
        CAPTURE(sdp::name_of(each.route));
        CAPTURE(sdp::name_of(each.wire));
        const auto update = each.update;
        // A pinned parameter makes all wait for all; the others have two, three and one trainers, and readers.
        sdp::model m;
        const auto g = m.add_group("neurons", 12);
        for (int p = 0; p < 8; ++p)
            m.add_parameter("pinned" + std::to_string(p), {50, 3});
        m.add_parameter("split", {12, 30}, {.axes = {{0, g}}});
        m.add_parameter("columns", {30, 12}, {.axes = {{1, g}}}); // short runs, which are packed on every route
        sdp::assignment a(m, 4);
        a.assign(g, std::vector<sdp::neuron_unit> {{0, 4, {0, 1}}, {4, 8, {1, 2, 3}}, {8, 12, {2}}});
        const unit::any_regime backward {unit::any_regime::kind::backward};
        const unit::scene s {m, 4, a, backward, unit::elements_of(m, a, backward), sdp::residency(m, a, backward)};
        sdp::synchronizer_options options;
        options.bucket_bytes = 1; // a bucket per parameter
        options.local.buckets_in_flight = 3;
        options.update = update;
        options.route = each.route;
        options.wire = each.wire;
        options.local.layout = sdp::value_layout::split;

        std::array<std::atomic<int>, 4> waiting {};
        std::array<long, 4> made {-1, -1, -1, -1};
        run(s, options, [&](worker& w) {
            const auto me = static_cast<std::size_t>(w.rank());
            std::vector<float> shard(static_cast<std::size_t>(w.sync.owned_elements()));
            // In two first steps one worker comes late, when all others have as many exchanges under way as there may be.
            for (std::size_t late = 0; late < 2; ++late) {
                w.compute_gradients(1);
                while (me == late && waiting[late] < 3)
                    std::this_thread::yield();
                for (std::size_t p = w.parameters(); p-- > 0;) {
                    if (me != late && p + 3 == w.parameters() - 1)
                        ++waiting[late];
                    w.sync.ready(sdp::parameter_id(p));
                }
                w.sync.finish();
            }
            const auto step = [&] {
                w.sync.begin_step(1.0 + w.rank());
                for (std::size_t p = w.parameters(); p-- > 0;)
                    w.sync.ready(sdp::parameter_id(p));
                w.sync.finish();
                (void)w.sync.gradient_norm();
                if (update == sdp::update_mode::owner_update)
                    w.sync.read_owned_gradients(shard);
                w.sync.publish_values();
                double loss = 1;
                w.sync.reduce_scalars(std::span(&loss, 1));
                w.sync.synchronize();
            };
            step();
            made[me] = support::allocations_of([&] {
                for (int i = 0; i < 20; ++i)
                    step();
            });
        });
        for (const auto count : made)
            CHECK(count == 0);
    }
}

TEST_CASE("local tensors are bound by slab, and only one's own")
{
    for (std::uint64_t seed = 0; seed < 40; ++seed) {
        const auto s = unit::random_scene(seed);
        const auto options = random_options(seed);
        sdp::run_workers(s.world, [&](sdp::thread_communicator comm) {
            CAPTURE(seed);
            worker w(s, comm, options);
            std::vector<std::vector<float>> moved; // in reverse order, from a copy of the slabs
            for (std::size_t p = 0; p < w.parameters(); ++p) {
                const auto slabs = w.sync.subnetwork().slabs(sdp::parameter_id(p));
                moved.reserve(moved.size() + slabs.size());
                for (std::size_t n = slabs.size(); n-- > 0;) {
                    REQUIRE(w.sync.subnetwork().number_of(slabs[n]) == n);
                    const sdp::slab copy = slabs[n];
                    w.sync.bind(copy, moved.emplace_back(w.values[p][n]));
                    w.values[p][n].assign(w.values[p][n].size(), untouched);
                }
                std::vector<float> full(w.rank() == 0 ? static_cast<std::size_t>(s.model.parameters()[p].size()) : 0);
                w.sync.assemble(sdp::parameter_id(p), 0, full);
                for (std::size_t i = 0; i < full.size(); ++i)
                    REQUIRE(full[i] == value_of(p, i));
                moved.clear();
            }
        });
    }
}

TEST_CASE("a tensor that lies beside the trained values is put together like them")
{
    for (std::uint64_t seed = 0; seed < 60; ++seed) {
        const auto s = unit::random_scene(seed);
        run(s, random_options(seed), [&](worker& w) {
            CAPTURE(seed);
            const int root = static_cast<int>(seed) % s.world;
            for (std::size_t p = 0; p < w.parameters(); ++p) {
                std::vector<float> moment; // what is not trained is never read
                if (!w.gradients[p].empty())
                    for (const auto i : w.elements[p][0])
                        moment.push_back(
                            w.trains(p, static_cast<std::size_t>(i)) ? 2 * value_of(p, static_cast<std::size_t>(i)) : untouched);
                std::vector<float> full(root == w.rank() ? static_cast<std::size_t>(s.model.parameters()[p].size()) : 0);
                w.sync.assemble(sdp::parameter_id(p), moment, root, full);
                for (std::size_t i = 0; i < full.size(); ++i)
                    REQUIRE(full[i] == 2 * value_of(p, i));
            }
            w.for_each_value([](std::size_t p, std::size_t i, float x) { REQUIRE(x == value_of(p, i)); });
        });
    }
}

TEST_CASE("a full parameter is handed out to those who store it, part by part, and nobody gets more")
{
    for (std::uint64_t seed = 0; seed < 100; ++seed) {
        const auto s = unit::random_scene(seed);
        run(s, random_options(seed), [&](worker& w) {
            CAPTURE(seed);
            const int root = static_cast<int>(seed) % s.world;
            for (std::size_t p = 0; p < w.parameters(); ++p) {
                const auto id = sdp::parameter_id(p);
                std::vector<float> full;
                if (w.rank() == root)
                    for (index_t i = 0; i < s.model[id].size(); ++i)
                        full.push_back(3 * value_of(p, static_cast<std::size_t>(i)));
                // As a bound value, in all of its local tensors.
                const auto before = w.sync.total_traffic().control_bytes;
                w.sync.distribute(id, root, full);
                const auto sent = static_cast<double>(w.sync.total_traffic().control_bytes - before);
                index_t stored = 0;
                for (const auto& slab : w.sync.subnetwork().slabs(id))
                    stored += slab.size();
                const double others = w.sync.sum(w.rank() == root ? 0.0 : static_cast<double>(stored));
                if (w.rank() == root)
                    REQUIRE(sent <= 4 * others + 16 * s.world * s.world); // the elements, and who wants what
                // As a moment, in a tensor beside the first.
                std::vector<float> moment(w.sync.subnetwork().trains(id) ? w.values[p][0].size() : 0);
                w.sync.distribute(id, root, full, moment);
                for (std::size_t at = 0; at < moment.size(); ++at)
                    REQUIRE(moment[at] == 3 * value_of(p, static_cast<std::size_t>(w.elements[p][0][at])));
                // As a value that is named, also where it is not trained.
                std::vector<float> first(w.sync.subnetwork().stores(id) ? w.values[p][0].size() : 0);
                w.sync.distribute(id, root, full, first);
                REQUIRE((w.values[p].empty() || first == w.values[p][0]));
            }
            w.for_each_value([](std::size_t p, std::size_t i, float x) { REQUIRE(x == 3 * value_of(p, i)); });
            REQUIRE(w.sync.total_traffic().bytes() == 0); // control data only
        });
    }
}

TEST_CASE("a strided tensor is handed out and put together in place")
{
    const auto s = dense(3, 1); // [2, 3]
    run(s, {}, [&](worker& w) {
        const auto id = sdp::parameter_id(0);
        std::vector<float> full(6);
        std::iota(full.begin(), full.end(), 1.0F);
        std::vector<float> columns(6), whole(6);
        const sdp::tensor_view transposed {columns.data(), {2, 3}, {1, 2}};
        w.sync.distribute(id, 1, full, transposed);
        CHECK(columns == std::vector<float> {1, 4, 2, 5, 3, 6});
        w.sync.assemble(id, transposed, 2, whole);
        CHECK((w.rank() != 2 || whole == full));
    });
}

TEST_CASE("ranks that cannot take part in handing out or putting together leave nobody waiting, and say why")
{
    const auto s = dense(3, 2); // [2, 3] and [3, 3]
    sdp::synchronizer_options options;
    options.local.timeout = 20s;
    run(s, options, [&](worker& w) {
        const auto id = sdp::parameter_id(0), other = sdp::parameter_id(1);
        const auto me = "rank " + std::to_string(w.rank());
        const bool odd = w.rank() == 1;
        std::vector<float> six(6), five(5);
        std::vector<double> wide(6);
        const auto refuse = [&](auto&& call, std::initializer_list<std::string_view> own) {
            if (odd)
                CHECK(unit::flaw<sdp::input_error>(call, own) == "");
            else
                CHECK(unit::flaw<sdp::input_error>(call, {"'parameter0'", me, "rank 1 cannot take part"}) == "");
        };
        // Another shape or type of the local tensor, or of the full one at the root.
        refuse([&] { w.sync.distribute(id, 0, six, odd ? five : six); },
            {"'parameter0'", "local tensor", "rank 1", "[5]", "[2, 3]"});
        refuse(
            [&] { w.sync.assemble(id, odd ? five : six, 0, six); }, {"'parameter0'", "local tensor", "rank 1", "[5]", "[2, 3]"});
        refuse(
            [&] { w.sync.distribute(id, 1, odd ? five : six, six); }, {"'parameter0'", "full tensor", "rank 1", "[5]", "[2, 3]"});
        refuse(
            [&] { w.sync.assemble(id, six, 1, odd ? five : six); }, {"'parameter0'", "full tensor", "rank 1", "[5]", "[2, 3]"});
        refuse([&] { odd ? w.sync.distribute(id, 0, six, wide) : w.sync.distribute(id, 0, six, six); },
            {"'parameter0'", "local tensor", "rank 1", "f64", "f32"});
        // Another rank, root or parameter.
        refuse([&] { w.sync.distribute(id, odd ? 3 : 0, six, six); }, {"distribute", "root 3", "rank 1", "0 to 2"});
        const std::initializer_list<std::string_view> differ {
            "rank 1 names parameter number", "rank 0 names 0 and 0", "expected the same on all ranks"};
        CHECK(unit::flaw([&] { w.sync.distribute(id, odd ? 2 : 0, six, six); }, differ) == "");
        std::vector<float> nine(9);
        CHECK(unit::flaw([&] { odd ? w.sync.assemble(other, nine, 0, nine) : w.sync.assemble(id, six, 0, six); }, differ) == "");
        // And it goes on.
        std::iota(six.begin(), six.end(), static_cast<float>(w.rank()));
        std::vector<float> mine(6);
        w.sync.distribute(id, 2, six, mine);
        CHECK(mine == std::vector<float> {2, 3, 4, 5, 6, 7});
    });

    sdp::run_workers(2, [&](sdp::thread_communicator comm) {
        const auto two = dense(2, 1);
        sdp::synchronizer sync(two.model, two.residents, comm, {.local = {.timeout = 20s}});
        const auto me = "rank " + std::to_string(comm.rank());
        std::vector<float> six(6);
        if (comm.rank() == 0)
            sync.bind(sdp::parameter_id(0), six);
        const std::initializer_list<std::string_view> unbound {"'parameter0'", "not bound", "rank 1"};
        CHECK(unit::flaw([&] { sync.distribute(sdp::parameter_id(0), 0, six); },
                  comm.rank() == 1 ? unbound : std::initializer_list<std::string_view> {"rank 1 cannot take part"})
            == "");
        // A slab of another parameter, or of another worker.
        sdp::slab foreign = sync.subnetwork().slabs(sdp::parameter_id(0))[0];
        foreign.axes[0][0].end = 1;
        CHECK(unit::flaw([&] { sync.bind(foreign, six); }, {"'parameter0'", me, "does not keep", "[2, 3]"}) == "");
        foreign.parameter = sdp::parameter_id(7);
        CHECK(unit::flaw([&] { sync.bind(foreign, six); }, {"parameter number 7", "has 1 parameters"}) == "");
    });
}

TEST_CASE("who waits for a peer that hands nothing out is told after the time-out")
{
    const auto s = dense(2, 1);
    sdp::run_workers(2, [&](sdp::thread_communicator comm) {
        sdp::synchronizer sync(s.model, s.residents, comm, {.local = {.timeout = 50ms}});
        std::vector<float> six(6);
        if (comm.rank() == 0)
            CHECK_THROWS_AS(sync.distribute(sdp::parameter_id(0), 1, six, six), sdp::timeout_error);
        else
            std::this_thread::sleep_for(200ms);
    });
}

TEST_CASE("numbers are summed, values gathered by rank, and a barrier lets nobody pass alone")
{
    for (const int world : {1, 3, 8}) {
        const auto s = dense(world);
        std::atomic<int> arrived = 0;
        run(s, {}, [&](worker& w) {
            CHECK(same_bits(w.sync.sum(1.0 / (w.rank() + 1)), [&] {
                double sum = 0;
                for (int rank = 0; rank < world; ++rank)
                    sum += 1.0 / (rank + 1);
                return sum;
            }()));
            struct entry {
                int rank;
                double square;
            };
            const auto all = w.sync.all_gather(entry {w.rank(), w.rank() * 0.5});
            REQUIRE(all.size() == static_cast<std::size_t>(world));
            for (int rank = 0; rank < world; ++rank) {
                CHECK(all[static_cast<std::size_t>(rank)].rank == rank);
                CHECK(all[static_cast<std::size_t>(rank)].square == rank * 0.5);
            }
            for (int round = 1; round <= 20; ++round) {
                ++arrived;
                w.sync.barrier();
                REQUIRE(arrived >= round * world);
                w.sync.barrier();
                REQUIRE(arrived == round * world);
                w.sync.barrier();
            }
            CHECK(w.sync.total_traffic().bytes() == 0);
        });
    }
}
