// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief The 16-bit formats: conversions against the plain definition of rounding, means against sums in double, bytes against
/// the formula.

#include <unit/cases.hpp>

#include <support/archetypes.hpp>

#include <sdp/comm/threads.hpp>
#include <sdp/detail/elements/wire.hpp>
#include <sdp/diagnostics.hpp>
#include <sdp/masking/forward.hpp>
#include <sdp/synchronizer.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using sdp::index_t;

/// Decodes a 16-bit type's bits by its definition: sign, exponent, mantissa.
struct format {
    int exponent_bits, mantissa_bits;

    [[nodiscard]] unsigned infinity() const { return ((1U << exponent_bits) - 1) << mantissa_bits; } ///< its bits
    [[nodiscard]] int bias() const { return (1 << (exponent_bits - 1)) - 1; }
    [[nodiscard]] double value(unsigned bits) const
    {
        const unsigned exponent = (bits & 0x7FFFU) >> mantissa_bits, mantissa = bits & ((1U << mantissa_bits) - 1);
        const double sign = (bits & 0x8000U) != 0 ? -1 : 1;
        if ((bits & 0x7FFFU) >= infinity())
            return mantissa != 0 ? std::numeric_limits<double>::quiet_NaN() : sign * std::numeric_limits<double>::infinity();
        if (exponent == 0)
            return sign * std::ldexp(mantissa, 1 - bias() - mantissa_bits);
        return sign * std::ldexp((1U << mantissa_bits) + mantissa, static_cast<int>(exponent) - bias() - mantissa_bits);
    }
    /// From one number of the type to the next, at the magnitude of x.
    [[nodiscard]] double ulp(double x) const
    {
        const int exponent = x == 0 ? 1 - bias() : std::max(std::ilogb(x), 1 - bias());
        return std::ldexp(1.0, exponent - mantissa_bits);
    }
};
constexpr format bf16 {8, 7}, f16 {5, 10};

/// The nearest of all numbers of the type, even if it takes looking at each of them. Ties go to the even one. Infinity stands
/// where the next number would, as IEEE 754 has it.
class nearest {
public:
    explicit nearest(format f)
    {
        for (unsigned bits = 0; bits <= f.infinity(); ++bits)
            values_.push_back(bits < f.infinity() ? f.value(bits) : std::ldexp(1.0, f.bias() + 1));
    }
    [[nodiscard]] unsigned operator()(float x) const
    {
        const unsigned sign = std::signbit(x) ? 0x8000U : 0;
        const double magnitude = std::min(std::fabs(static_cast<double>(x)), values_.back());
        // The values ascend, so the nearest is one of the two around.
        const auto above = std::lower_bound(values_.begin(), values_.end(), magnitude);
        return sign | (above == values_.begin() ? 0U : pick(magnitude, static_cast<unsigned>(above - values_.begin())));
    }
    /// The same, without that thought.
    [[nodiscard]] unsigned among_all(float x) const
    {
        const double magnitude = std::min(std::fabs(static_cast<double>(x)), values_.back());
        unsigned best = 0;
        for (unsigned bits = 0; bits < values_.size(); ++bits) {
            const double here = std::fabs(values_[bits] - magnitude), there = std::fabs(values_[best] - magnitude);
            if (here < there || (here == there && bits % 2 == 0))
                best = bits;
        }
        return best | (std::signbit(x) ? 0x8000U : 0U);
    }

private:
    [[nodiscard]] unsigned pick(double magnitude, unsigned above) const
    {
        const double up = values_[above] - magnitude, down = magnitude - values_[above - 1];
        return up < down || (up == down && above % 2 == 0) ? above : above - 1;
    }

    std::vector<double> values_; ///< not negative, by their bits
};

unsigned bits_of(sdp::tiles::bf16_bits x)
{
    return x.bits;
}
unsigned bits_of(sdp::tiles::f16_bits x)
{
    return x.bits;
}

template <class W> [[nodiscard]] constexpr format format_of()
{
    return std::is_same_v<W, sdp::tiles::bf16_bits> ? bf16 : f16;
}
template <class W> [[nodiscard]] constexpr sdp::wire_format wire_of()
{
    return std::is_same_v<W, sdp::tiles::bf16_bits> ? sdp::wire_format::bf16 : sdp::wire_format::f16;
}

/// Describes an error in the conversion of one number; empty if there is none.
template <class W> std::string conversion_flaw(const nearest& rule, float x, bool among_all = false)
{
    const unsigned found = bits_of(sdp::tiles::convert<W>(x));
    const auto f = format_of<W>();
    if (std::isnan(x))
        return std::isnan(f.value(found)) && std::isnan(sdp::tiles::rounded<W>(x)) ? "" : "a NaN did not stay one";
    const unsigned expected = among_all ? rule.among_all(x) : rule(x);
    if (found != expected)
        return sdp::detail::text(x, " became ", found, ", expected ", expected);
    if (static_cast<double>(sdp::tiles::rounded<W>(x)) != f.value(found))
        return sdp::detail::text(x, " came back as ", sdp::tiles::rounded<W>(x));
    return {};
}

/// One worker's gradient of everything, exchanged; by rank and parameter.
template <class T> using tensors = std::vector<std::vector<std::vector<T>>>;

float representable(unit::random& r, format f, double low, double high)
{
    for (;;) {
        const double x = f.value(static_cast<unsigned>(r.below(65536)));
        if (std::fabs(x) >= low && std::fabs(x) <= high)
            return static_cast<float>(x);
    }
}

/// Exchanges gradients of a scene that everybody trains or holds in part; what is not trained keeps what it had.
template <class T>
void exchange(const unit::scene& s, const sdp::synchronizer_options& options, tensors<T>& gradients,
    const std::vector<double>& weights = {}, std::vector<sdp::traffic>* sent = nullptr)
{
    sdp::run_workers(s.world, [&](sdp::thread_communicator comm) {
        const auto me = static_cast<std::size_t>(comm.rank());
        sdp::synchronizer sync(s.model, s.residents, comm, options);
        if (!weights.empty())
            sync.begin_step(weights[me]);
        for (std::size_t p = gradients[me].size(); p-- > 0;)
            if (!gradients[me][p].empty())
                sync.ready(sdp::parameter_id(p), gradients[me][p]);
        sync.finish();
        if (sent != nullptr)
            (*sent)[me] = sync.step_traffic();
    });
}

/// Plain data parallelism over some parameters.
unit::scene dense(int world, int parameters, sdp::element_type type = sdp::element_type::f32)
{
    sdp::model m;
    for (int p = 0; p < parameters; ++p)
        m.add_parameter("parameter" + std::to_string(p), {p + 17, 13}, {.type = type});
    sdp::assignment a(m, world);
    auto elements = unit::elements_of(m, a, {});
    auto residents = sdp::residency(m, a, sdp::forward_masking {});
    return {std::move(m), world, std::move(a), {}, std::move(elements), std::move(residents)};
}

/// A rank's part of a parameter: gradient by local element, and the index of that element in the whole.
struct local_elements {
    std::vector<std::vector<std::vector<index_t>>> of; ///< by rank and parameter
    explicit local_elements(const unit::scene& s)
    {
        for (int rank = 0; rank < s.world; ++rank) {
            const sdp::subnetwork mine(s.model, s.residents, rank, sdp::value_layout::whole);
            auto& each = of.emplace_back();
            for (std::size_t p = 0; p < s.model.parameters().size(); ++p) {
                each.emplace_back();
                if (mine.trains(sdp::parameter_id(p)))
                    each.back() = unit::elements_of(mine.slabs(sdp::parameter_id(p))[0], s.model.parameters()[p].shape);
            }
        }
    }
};

/// A ring's sum in the wire type: every hop rounds. What a library that sums in 16 bits does.
template <class W> float ring_mean(const std::vector<float>& given, std::size_t start)
{
    float sum = given[start];
    for (std::size_t hop = 1; hop < given.size(); ++hop)
        sum = sdp::tiles::rounded<W>(sum + given[(start + hop) % given.size()]);
    return sdp::tiles::rounded<W>(sum / static_cast<float>(given.size()));
}

} // namespace

TEST_CASE_TEMPLATE(
    "conversions round to the nearest of all 65536 values, ties to even", W, sdp::tiles::bf16_bits, sdp::tiles::f16_bits)
{
    const auto f = format_of<W>();
    const nearest rule(f);

    // All values of the type are themselves; so is half-way between two, and what is next to that, on either side.
    for (unsigned bits = 0; bits < 65536; ++bits) {
        const double value = f.value(bits);
        const float there = sdp::tiles::convert<float>(W {static_cast<std::uint16_t>(bits)});
        if (std::isnan(value)) {
            REQUIRE(std::isnan(there));
            REQUIRE(conversion_flaw<W>(rule, there) == "");
            continue;
        }
        REQUIRE(static_cast<double>(there) == value);
        REQUIRE(std::signbit(there) == ((bits & 0x8000U) != 0));
        REQUIRE(bits_of(sdp::tiles::convert<W>(there)) == bits);
        if ((bits & 0x7FFFU) == f.infinity())
            continue;
        const double ulp = std::fabs(f.value(bits & 0x7FFFU)
            - ((bits & 0x7FFFU) + 1 == f.infinity() ? std::ldexp(1.0, f.bias() + 1) : f.value((bits & 0x7FFFU) + 1)));
        const double middle = value + std::copysign(ulp / 2, (bits & 0x8000U) != 0 ? -1.0 : 1.0);
        const auto x = static_cast<float>(middle);
        REQUIRE(static_cast<double>(x) == middle); // a float has a place for it
        for (const float each : {x, std::nextafterf(x, 0.0F), std::nextafterf(x, std::copysign(INFINITY, x))})
            REQUIRE(conversion_flaw<W>(rule, each) == "");
    }

    // Any bits at all: some against the whole table, more against the two around, which the first confirm.
    unit::random r(1);
    for (int i = 0; i < 4'000'000; ++i) {
        const auto x = std::bit_cast<float>(static_cast<std::uint32_t>(r.bits()));
        if (const auto flaw = conversion_flaw<W>(rule, x); !flaw.empty())
            FAIL(flaw);
    }
    for (int i = 0; i < 1'000; ++i) { // most floats are outside of what f16 holds, so the exponent is drawn apart
        const auto x = static_cast<float>(std::ldexp(1.0 + static_cast<double>(r.bits() >> 11) * 0x1p-53,
                           r.between(-f.bias() - f.mantissa_bits - 3, f.bias() + 1) - 1))
            * (r.chance(50) ? -1.0F : 1.0F);
        REQUIRE(conversion_flaw<W>(rule, x, true) == "");
    }

    constexpr float infinity = std::numeric_limits<float>::infinity();
    constexpr float largest = std::numeric_limits<float>::max(), least = std::numeric_limits<float>::denorm_min();
    CHECK(bits_of(sdp::tiles::convert<W>(0.0F)) == 0);
    CHECK(bits_of(sdp::tiles::convert<W>(-0.0F)) == 0x8000U);
    CHECK(bits_of(sdp::tiles::convert<W>(infinity)) == f.infinity());
    CHECK(bits_of(sdp::tiles::convert<W>(-infinity)) == (f.infinity() | 0x8000U));
    CHECK(bits_of(sdp::tiles::convert<W>(largest)) == f.infinity());
    CHECK(bits_of(sdp::tiles::convert<W>(least)) == 0);
    CHECK(bits_of(sdp::tiles::convert<W>(-least)) == 0x8000U);
    for (const std::uint32_t nan : {0x7F800001U, 0x7FC00000U, 0x7FFFFFFFU, 0xFF800001U, 0xFFFFFFFFU, 0x7F80FFFFU})
        CHECK(conversion_flaw<W>(rule, std::bit_cast<float>(nan)) == "");
    // The largest finite number, and the first that no longer is: half a step above it.
    const double most = f.value(f.infinity() - 1);
    const auto edge = static_cast<float>(most + f.ulp(most) / 2);
    CHECK(bits_of(sdp::tiles::convert<W>(std::nextafterf(edge, 0.0F))) == f.infinity() - 1);
    CHECK(bits_of(sdp::tiles::convert<W>(edge)) == f.infinity());
    if (f.mantissa_bits == 10) {
        CHECK(most == 65504);
        CHECK(edge == 65520.0F);
        CHECK(bits_of(sdp::tiles::convert<W>(0x1p-25F)) == 0); // half of the least, to even
        CHECK(bits_of(sdp::tiles::convert<W>(0x1.8p-25F)) == 1);
    }
}

TEST_CASE_TEMPLATE("the mean of gradients that the type holds is within one ulp of the mean in double, unlike a ring's sum in it",
    W, sdp::tiles::bf16_bits, sdp::tiles::f16_bits)
{
    const auto f = format_of<W>();
    double worst = 0, worst_ring = 0;
    for (const int world : {2, 3, 5, 8, 13, 16}) {
        const auto s = dense(world, 3);
        unit::random r(static_cast<std::uint64_t>(world));
        tensors<float> given(static_cast<std::size_t>(world));
        for (auto& mine : given)
            for (const auto& p : s.model.parameters()) {
                auto& g = mine.emplace_back();
                for (index_t i = 0; i < p.size(); ++i)
                    // Of one sign, so that the mean is not small by cancellation, which no sum of rounded terms survives.
                    g.push_back(std::fabs(representable(r, f, 0x1p-9, 1)));
            }
        for (const auto route : {sdp::route_choice::fastest, sdp::route_choice::swap, sdp::route_choice::two_sided}) {
            sdp::synchronizer_options options;
            options.wire = wire_of<W>();
            options.route = route;
            auto found = given;
            exchange(s, options, found);
            for (std::size_t p = 0; p < s.model.parameters().size(); ++p)
                for (std::size_t i = 0; i < given[0][p].size(); ++i) {
                    double sum = 0;
                    std::vector<float> terms;
                    for (const auto& mine : given) {
                        sum += static_cast<double>(mine[p][i]);
                        terms.push_back(mine[p][i]);
                    }
                    const double mean = sum / world, ulp = f.ulp(mean);
                    for (const auto& mine : found)
                        REQUIRE(std::bit_cast<std::uint32_t>(mine[p][i]) == std::bit_cast<std::uint32_t>(found[0][p][i]));
                    REQUIRE(sdp::tiles::rounded<W>(found[0][p][i]) == found[0][p][i]); // of the type
                    worst = std::max(worst, std::fabs(static_cast<double>(found[0][p][i]) - mean) / ulp);
                    worst_ring = std::max(
                        worst_ring, std::fabs(static_cast<double>(ring_mean<W>(terms, i % terms.size())) - mean) / ulp);
                }
        }
    }
    MESSAGE(sdp::name_of(wire_of<W>()) << ", up to 16 workers: worst error of the mean " << worst
                                       << " ulp; of a ring's sum in that type " << worst_ring << " ulp");
    CHECK(worst <= 1);
    CHECK(worst >= 0.4); // or nothing was rounded
    CHECK(worst_ring > worst);
    CHECK(worst_ring > 1);
}

TEST_CASE_TEMPLATE("what the type does not hold is rounded once on the way there and once on the way back", W,
    sdp::tiles::bf16_bits, sdp::tiles::f16_bits)
{
    for (std::uint64_t seed = 0; seed < 40; ++seed) {
        const auto s = unit::random_scene(seed);
        const local_elements local(s);
        unit::random r(seed);
        std::vector<double> weights;
        for (int rank = 0; rank < s.world; ++rank)
            weights.push_back(rank > 0 && r.chance(20) ? 0.0 : r.between(1, 50));
        tensors<float> given;
        for (const auto& of_rank : local.of) {
            auto& mine = given.emplace_back();
            for (const auto& elements : of_rank) {
                auto& g = mine.emplace_back();
                for (std::size_t i = 0; i < elements.size(); ++i)
                    g.push_back(static_cast<float>(r.below(1 << 24) - (1 << 23)) * 0x1p-20F);
            }
        }
        for (const bool weighted : {false, true}) {
            std::vector<tensors<float>> all;
            for (const auto route : {sdp::route_choice::fastest, sdp::route_choice::swap, sdp::route_choice::two_sided}) {
                sdp::synchronizer_options options;
                options.wire = wire_of<W>();
                options.route = route;
                options.bucket_bytes = seed % 3 == 0 ? 1 : seed % 3 == 1 ? 100 : 1 << 20;
                options.local.buckets_in_flight = 1 + static_cast<int>(seed % 4);
                options.normalizer = seed % 5 == 0 ? sdp::normalizer::world : sdp::normalizer::holders;
                auto found = given;
                exchange(s, options, found, weighted ? weights : std::vector<double> {});
                all.push_back(std::move(found));
            }
            CAPTURE(seed);
            CAPTURE(weighted);
            REQUIRE(all[0] == all[1]);
            REQUIRE(all[0] == all[2]);

            // Element by element: one value for all trainers, the rounded mean of the rounded.
            for (std::size_t p = 0; p < s.model.parameters().size(); ++p) {
                const auto size = static_cast<std::size_t>(s.model.parameters()[p].size());
                std::vector<float> sum(size), divisor(size);
                std::vector<int> trainers(size, 0);
                const float everybody = [&] {
                    float out = 0;
                    for (int rank = 0; rank < s.world; ++rank)
                        out += weighted ? static_cast<float>(weights[static_cast<std::size_t>(rank)]) : 1.0F;
                    return out;
                }();
                const auto visit = [&](auto f) {
                    for (std::size_t rank = 0; rank < local.of.size(); ++rank)
                        for (std::size_t at = 0; at < local.of[rank][p].size(); ++at)
                            f(rank, at, static_cast<std::size_t>(local.of[rank][p][at]));
                };
                visit([&](std::size_t rank, std::size_t at, std::size_t i) {
                    if (!unit::has(s.elements.trained[p][i], static_cast<int>(rank)))
                        return;
                    const float weight = weighted ? static_cast<float>(weights[rank]) : 1.0F;
                    ++trainers[i];
                    divisor[i] += weight;
                    if (weight > 0) // of whole numbers below 2^6, exact up to the sum
                        sum[i] += weight * sdp::tiles::rounded<W>(given[rank][p][at]);
                });
                visit([&](std::size_t rank, std::size_t at, std::size_t i) {
                    const float found = all[0][rank][p][at];
                    if (!unit::has(s.elements.trained[p][i], static_cast<int>(rank))) {
                        REQUIRE(found == given[rank][p][at]);
                        return;
                    }
                    const bool over_world = seed % 5 == 0;
                    if (trainers[i] == 1 && !over_world && divisor[i] > 0) {
                        REQUIRE(found == given[rank][p][at]); // nobody to average with, so it does not travel
                        return;
                    }
                    const float by = over_world ? everybody : divisor[i];
                    const float expected = divisor[i] > 0 ? sdp::tiles::rounded<W>(sum[i] / by) : 0.0F;
                    REQUIRE(std::bit_cast<std::uint32_t>(found + 0.0F) == std::bit_cast<std::uint32_t>(expected + 0.0F));
                });
            }
        }
    }
}

TEST_CASE("with a 16-bit wire, bytes of gradients halve, and those of values and f64 stay")
{
    for (std::uint64_t seed = 0; seed < 80; ++seed) {
        const auto s = unit::random_scene(seed);
        const local_elements local(s);
        for (const auto update : {sdp::update_mode::average, sdp::update_mode::owner_update})
            for (const auto route : {sdp::route_choice::fastest, sdp::route_choice::two_sided}) {
                std::vector<std::vector<sdp::traffic>> sent;
                for (const auto wire : {sdp::wire_format::as_is, sdp::wire_format::bf16, sdp::wire_format::f16}) {
                    sdp::synchronizer_options options;
                    options.update = update;
                    options.route = route;
                    options.wire = wire;
                    auto& of_ranks = sent.emplace_back(static_cast<std::size_t>(s.world));
                    sdp::run_workers(s.world, [&](sdp::thread_communicator comm) {
                        const auto me = static_cast<std::size_t>(comm.rank());
                        sdp::synchronizer sync(s.model, s.residents, comm, options);
                        std::vector<std::vector<float>> gradients, values;
                        for (std::size_t p = 0; p < local.of[me].size(); ++p) {
                            gradients.emplace_back(local.of[me][p].size(), 1.0F);
                            for (std::size_t n = 0; n < sync.subnetwork().slabs(sdp::parameter_id(p)).size(); ++n) {
                                const auto& slab = sync.subnetwork().slabs(sdp::parameter_id(p))[n];
                                values.emplace_back(static_cast<std::size_t>(slab.size()), 2.0F);
                                sync.bind(sdp::parameter_id(p), values.back(), n);
                            }
                        }
                        for (std::size_t p = gradients.size(); p-- > 0;)
                            if (!gradients[p].empty())
                                sync.ready(sdp::parameter_id(p), gradients[p]);
                        sync.finish();
                        sync.publish_values();
                        of_ranks[me] = sync.step_traffic();
                    });
                    for (int rank = 0; rank < s.world; ++rank) {
                        CAPTURE(seed);
                        CAPTURE(rank);
                        REQUIRE(of_ranks[static_cast<std::size_t>(rank)].bytes()
                            == sdp::bytes_per_step(s.model, s.residents, rank, update, wire));
                    }
                }
                for (std::size_t rank = 0; rank < sent[0].size(); ++rank)
                    for (const std::size_t other : {1U, 2U}) {
                        REQUIRE(2 * sent[other][rank].reduce_bytes == sent[0][rank].reduce_bytes);
                        REQUIRE(2 * sent[other][rank].publish_bytes == sent[0][rank].publish_bytes);
                        REQUIRE(sent[other][rank].value_bytes == sent[0][rank].value_bytes);
                        REQUIRE(sent[other][rank].messages == sent[0][rank].messages);
                    }
            }
    }
}

TEST_CASE("gradients of f64 travel as they are, whatever the wire")
{
    const auto s = dense(3, 2, sdp::element_type::f64);
    for (const auto route : {sdp::route_choice::fastest, sdp::route_choice::two_sided}) {
        tensors<double> given(3), plain;
        unit::random r(3);
        for (auto& mine : given)
            for (const auto& p : s.model.parameters()) {
                auto& g = mine.emplace_back();
                for (index_t i = 0; i < p.size(); ++i)
                    g.push_back(static_cast<double>(r.bits() >> 11) * 0x1p-53);
            }
        for (const auto wire : {sdp::wire_format::as_is, sdp::wire_format::bf16, sdp::wire_format::f16}) {
            sdp::synchronizer_options options;
            options.route = route;
            options.wire = wire;
            auto found = given;
            std::vector<sdp::traffic> sent(3);
            exchange(s, options, found, {}, &sent);
            if (plain.empty())
                plain = found;
            CHECK(found == plain);
            CHECK(sent[0].bytes() == sdp::bytes_per_step(s.model, s.residents, 0));
        }
        CHECK(plain[0][0][0] == (given[0][0][0] + given[1][0][0] + given[2][0][0]) / 3);
    }
}

TEST_CASE("NaN, infinity and overflow reach every holder")
{
    const auto s = dense(2, 1);
    for (const auto route : {sdp::route_choice::fastest, sdp::route_choice::swap, sdp::route_choice::two_sided})
        for (const auto wire : {sdp::wire_format::bf16, sdp::wire_format::f16}) {
            sdp::synchronizer_options options;
            options.route = route;
            options.wire = wire;
            tensors<float> g(2);
            for (auto& mine : g)
                mine.emplace_back(static_cast<std::size_t>(s.model.parameters()[0].size()), 1.0F);
            g[0][0][0] = std::numeric_limits<float>::quiet_NaN();
            g[1][0][1] = std::numeric_limits<float>::infinity();
            g[1][0][2] = 65520; // f16 has no such number
            g[0][0][200] = std::numeric_limits<float>::quiet_NaN();
            exchange(s, options, g);
            for (const auto& mine : g) {
                CHECK(std::isnan(mine[0][0]));
                CHECK(mine[0][1] == std::numeric_limits<float>::infinity());
                CHECK(std::isinf(mine[0][2]) == (wire == sdp::wire_format::f16));
                CHECK(mine[0][3] == 1.0F);
                CHECK(std::isnan(mine[0][200]));
            }
        }
}

TEST_CASE("the transport's own all-reduce takes elements as they are")
{
    sdp::model m;
    m.add_parameter("weight", {4});
    const sdp::residency residents(m, sdp::assignment(m, 1), sdp::forward_masking {});
    const archetypes::minimal_all_reduce comm(0);
    sdp::synchronizer_options options;
    options.route = sdp::route_choice::native;
    CHECK_NOTHROW(sdp::synchronizer(m, residents, comm, options));
    for (const auto wire : {sdp::wire_format::bf16, sdp::wire_format::f16}) {
        options.wire = wire;
        CHECK(unit::flaw([&] { sdp::synchronizer(m, residents, comm, options); },
                  {"route is native", std::string("wire is ") + std::string(sdp::name_of(wire)), "as_is"})
            == "");
    }
}
