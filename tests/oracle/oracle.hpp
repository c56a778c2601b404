// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief A dense simulation of a training step, element by element, to compare the library with.
///
/// It reads what a user declares (the model and the holders of each unit) and nothing that the library derives from it:
/// whoever stores and trains an element is found anew for each element by looking up its unit on every axis. Slow and
/// plain on purpose. Rank sets are bit masks, so that not even the set arithmetic is the library's.

#include <sdp/model.hpp>
#include <sdp/partition/assignment.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace oracle {

using sdp::index_t;

/// Bit r is rank r.
using rank_mask = std::uint32_t;

[[nodiscard]] inline rank_mask everyone(int world)
{
    return (rank_mask(1) << world) - 1;
}
[[nodiscard]] inline bool has(rank_mask set, int rank)
{
    return ((set >> rank) & 1u) != 0;
}
[[nodiscard]] inline int count(rank_mask set)
{
    return std::popcount(set);
}

[[nodiscard]] inline rank_mask mask_of(const sdp::rank_set& set)
{
    rank_mask out = 0;
    for (const int rank : set.ranks())
        out |= rank_mask(1) << rank;
    return out;
}

/// SplitMix64: the same numbers on every platform, which the standard distributions do not promise.
[[nodiscard]] constexpr std::uint64_t mix(std::uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

template <class... Words> [[nodiscard]] constexpr std::uint64_t hash(std::uint64_t seed, Words... words)
{
    ((seed = mix(seed ^ mix(static_cast<std::uint64_t>(words)))), ...);
    return seed;
}

/// A sequence of random numbers for building cases.
class sequence {
public:
    explicit sequence(std::uint64_t seed)
        : state_(mix(seed))
    {
    }

    std::uint64_t bits() { return state_ = mix(state_); }
    /// 0 … bound−1
    int below(int bound) { return static_cast<int>((bits() >> 11) % static_cast<std::uint64_t>(bound)); }
    /// first … last, both included
    int between(int first, int last) { return first + below(last - first + 1); }
    bool chance(int percent) { return below(100) < percent; }

    template <class T> void shuffle(std::vector<T>& values)
    {
        for (std::size_t i = values.size(); i > 1; --i)
            std::swap(values[i - 1], values[static_cast<std::size_t>(below(static_cast<int>(i)))]);
    }

private:
    std::uint64_t state_;
};

/// A signed number whose magnitude spans twelve powers of two, so that the order of a float sum shows in its bits.
[[nodiscard]] inline double number(std::uint64_t bits)
{
    const int exponent = static_cast<int>((bits >> 1) % 12) - 10;
    const double mantissa = 1.0 + static_cast<double>(bits >> 11) * 0x1p-53;
    return std::ldexp((bits & 1u) != 0 ? -mantissa : mantissa, exponent);
}

/// A masking regime without the library's types: maps a unit's name, kind and holders to the workers that store it and
/// those that train it.
struct rule {
    using function = std::function<rank_mask(std::string_view name, bool is_block, rank_mask holders, int world)>;
    function stored;
    function trained;
};

/// Storers and trainers of each element; indexed by parameter, then by row-major element.
struct element_sets {
    std::vector<std::vector<rank_mask>> stored;
    std::vector<std::vector<rank_mask>> trained;

    /// Parameters that have an element nobody trains.
    [[nodiscard]] std::vector<std::size_t> untrained() const
    {
        std::vector<std::size_t> out;
        for (std::size_t p = 0; p < trained.size(); ++p)
            for (const auto set : trained[p])
                if (set == 0) {
                    out.push_back(p);
                    break;
                }
        return out;
    }
};

/// The index of a row-major element on every axis.
[[nodiscard]] inline std::vector<index_t> multi_index(index_t element, const sdp::extents& shape)
{
    std::vector<index_t> out(shape.size());
    for (std::size_t axis = shape.size(); axis-- > 0;) {
        out[axis] = element % shape[axis];
        element /= shape[axis];
    }
    return out;
}

[[nodiscard]] inline element_sets resolve(const sdp::model& m, const sdp::assignment& given, const rule& regime)
{
    element_sets out;
    const int world = given.world();
    for (const auto& p : m.parameters()) {
        auto& stored = out.stored.emplace_back();
        auto& trained = out.trained.emplace_back();
        for (index_t element = 0; element < p.size(); ++element) {
            rank_mask s = everyone(world);
            rank_mask t = everyone(world);
            const auto narrow = [&](std::string_view name, bool is_block, rank_mask holders) {
                s &= regime.stored(name, is_block, holders, world);
                t &= regime.trained(name, is_block, holders, world);
            };
            if (p.where.within)
                narrow(m[*p.where.within].name, true, mask_of(given.holders(*p.where.within)));
            const auto at = multi_index(element, p.shape);
            for (const auto& axis : p.where.axes) {
                const auto& group = m[axis.group];
                const auto place = static_cast<std::size_t>(axis.axis);
                index_t neuron = at[place];
                if (axis.fused.empty())
                    neuron /= p.shape[place] / group.neurons;
                for (const index_t each : axis.fused) { // one after another, each with all neurons
                    if (neuron < each * group.neurons) {
                        neuron /= each;
                        break;
                    }
                    neuron -= each * group.neurons;
                }
                for (const auto& unit : given.units(axis.group))
                    if (unit.begin <= neuron && neuron < unit.end)
                        narrow(group.name, false, mask_of(given.holders(unit)));
            }
            stored.push_back(s);
            trained.push_back(t);
        }
    }
    return out;
}

/// The extents of the region of a parameter that a rank has, and its elements in row-major order.
struct region {
    sdp::extents shape;
    std::vector<index_t> elements;
};

[[nodiscard]] inline region region_of(const std::vector<rank_mask>& sets, const sdp::extents& shape, int rank)
{
    region out;
    std::vector<std::vector<bool>> seen(shape.size());
    for (std::size_t axis = 0; axis < shape.size(); ++axis)
        seen[axis].resize(static_cast<std::size_t>(shape[axis]));
    for (index_t element = 0; element < shape.product(); ++element) {
        if (!has(sets[static_cast<std::size_t>(element)], rank))
            continue;
        out.elements.push_back(element);
        const auto at = multi_index(element, shape);
        for (std::size_t axis = 0; axis < shape.size(); ++axis)
            seen[axis][static_cast<std::size_t>(at[axis])] = true;
    }
    for (const auto& axis : seen) {
        index_t extent = 0;
        for (const bool present : axis)
            extent += present ? 1 : 0;
        out.shape.push_back(extent);
    }
    return out;
}

/// Elements that one rank sends in one step.
struct sent_elements {
    std::uint64_t reduce = 0;
    std::uint64_t publish = 0;
    std::uint64_t values = 0;

    [[nodiscard]] std::uint64_t total() const { return reduce + publish + values; }
};

/// Elements with the same trainers and the same storers are one class; how many elements each has in the parameters of a
/// type, or in the whole model.
[[nodiscard]] inline std::map<std::pair<rank_mask, rank_mask>, std::uint64_t> classes_of(
    const sdp::model& m, const element_sets& sets, std::optional<sdp::element_type> type = {})
{
    std::map<std::pair<rank_mask, rank_mask>, std::uint64_t> out;
    for (std::size_t p = 0; p < sets.trained.size(); ++p)
        for (std::size_t e = 0; e < sets.trained[p].size(); ++e)
            if (!type || m.parameters()[p].type() == *type)
                ++out[{sets.trained[p][e], sets.stored[p][e]}];
    return out;
}

/// Number of elements of a class that a rank owns: all trainers alike, the first P mod k of them one more.
[[nodiscard]] inline std::uint64_t share_of(std::uint64_t elements, rank_mask trained, int rank)
{
    if (!has(trained, rank))
        return 0;
    const auto k = static_cast<std::uint64_t>(count(trained));
    const auto position = static_cast<std::uint64_t>(count(trained & everyone(rank)));
    return elements / k + (position < elements % k ? 1 : 0);
}

/// The formula for the traffic of one step, per rank.
///
/// The mean costs each of the k trainers of a class one message element for all it does not own, and k−1 for all it owns;
/// two trainers send each other everything instead, in one round, unless they are told not to. Values go from the owner to
/// those who have not computed them.
[[nodiscard]] inline std::vector<sent_elements> formula(
    const sdp::model& m, const element_sets& sets, int world, bool owner_update, bool swaps)
{
    std::vector<sent_elements> out(static_cast<std::size_t>(world));
    for (const auto& [key, elements] : classes_of(m, sets)) {
        const auto [trained, stored] = key;
        const auto k = static_cast<std::uint64_t>(count(trained));
        for (int rank = 0; rank < world; ++rank) {
            if (!has(trained, rank))
                continue;
            const std::uint64_t own = share_of(elements, trained, rank);
            auto& sent = out[static_cast<std::size_t>(rank)];
            if (owner_update) {
                sent.reduce += elements - own;
                sent.values += own * static_cast<std::uint64_t>(count(stored) - 1);
            } else {
                sent.reduce += k == 2 && swaps ? elements : elements - own;
                sent.publish += k == 2 && swaps ? 0 : own * (k - 1);
                sent.values += own * static_cast<std::uint64_t>(count(stored & ~trained));
            }
        }
    }
    return out;
}

/// Bytes that all ranks together send in one step: 2(k−1) gradients and one value per further storer for each element of a
/// class; under owner update k−1 gradients and one value for each storer but the owner.
[[nodiscard]] inline std::uint64_t total_bytes(const sdp::model& m, const element_sets& sets, bool owner_update)
{
    std::uint64_t out = 0;
    for (const auto type : {sdp::element_type::f32, sdp::element_type::f64})
        for (const auto& [key, elements] : classes_of(m, sets, type)) {
            const auto k = static_cast<std::uint64_t>(count(key.first));
            const auto s = static_cast<std::uint64_t>(count(key.second));
            out += elements * (type == sdp::element_type::f64 ? 8 : 4) * (owner_update ? k - 1 + s - 1 : 2 * (k - 1) + s - k);
        }
    return out;
}

/// The state of one element under Adam; doubles hold what a float has as well.
struct adam_state {
    double m = 0;
    double v = 0;
};

inline constexpr double learning_rate = 0.01;

/// One step of Adam on one element, in the arithmetic of `T`. The hosts in these tests use it too: the optimizer is not what
/// is tested, but which elements it sees. Never inlined, so that host and simulation round alike.
template <std::floating_point T> [[gnu::noinline]] double adam_in(double value, adam_state& state, double given, int step)
{
    constexpr T beta1 = T(0.9), beta2 = T(0.95), epsilon = T(1e-3);
    const T gradient = static_cast<T>(given);
    const T m = beta1 * static_cast<T>(state.m) + (1 - beta1) * gradient;
    const T v = beta2 * static_cast<T>(state.v) + (1 - beta2) * gradient * gradient;
    T power1 = 1, power2 = 1;
    for (int i = 0; i < step; ++i) {
        power1 *= beta1;
        power2 *= beta2;
    }
    state = {m, v};
    return static_cast<T>(value) - T(learning_rate) * (m / (1 - power1)) / (std::sqrt(v / (1 - power2)) + epsilon);
}

[[nodiscard]] inline double adam(sdp::element_type type, double value, adam_state& state, double gradient, int step)
{
    return type == sdp::element_type::f64 ? adam_in<double>(value, state, gradient, step)
                                          : adam_in<float>(value, state, gradient, step);
}

[[nodiscard]] inline double rounded(sdp::element_type type, double x)
{
    return type == sdp::element_type::f64 ? x : static_cast<double>(static_cast<float>(x));
}

/// Source of the numbers of a simulation.
struct numbers {
    std::uint64_t seed = 0;

    /// The value of an element before the first step.
    [[nodiscard]] double initial(std::size_t p, index_t element) const { return number(hash(seed, 1, p, element)); }
    /// Gradient of a worker's backward pass for an element.
    [[nodiscard]] double gradient(int step, int micro, int rank, std::size_t p, index_t element) const
    {
        return number(hash(seed, 2, step, micro, rank, p, element));
    }
};

/// Rule that combines the gradients into one.
struct averaging {
    bool over_world = false; ///< divide by N in place of k
    int micro_batches = 1;
    std::vector<std::vector<double>> weights; ///< per step and rank; empty for the plain mean
};

/// The state of all elements after a step; by parameter and element.
struct state {
    std::vector<std::vector<double>> gradient, value;
    std::vector<std::vector<adam_state>> optimizer;
    double norm = 0;
};

/// Sum that one worker's host has accumulated over the micro-batches, in the arithmetic of its tensors.
[[nodiscard]] inline double accumulated(
    sdp::element_type type, const numbers& from, int micro_batches, int step, int rank, std::size_t p, index_t element)
{
    double out = 0;
    for (int micro = 0; micro < micro_batches; ++micro)
        out = rounded(type, out + rounded(type, from.gradient(step, micro, rank, p, element)));
    return out;
}

/// The mean over the trainers of one element: summed in rank order in `T`, then divided once. What a lone holder has is
/// its mean already, with any weight but 0; the mean of no data at all is 0.
template <std::floating_point T>
[[nodiscard]] double mean(
    const numbers& from, const averaging& how, int world, rank_mask trained, int step, std::size_t p, index_t element)
{
    constexpr auto type = sdp::element_type_of<T>::value;
    const auto given = how.weights.empty() ? std::vector<double>(static_cast<std::size_t>(world), 1.0)
                                           : how.weights[static_cast<std::size_t>(step)];
    // Only ratios of weights matter: bring them into the range of a float, by a power of two that rounds nothing.
    const double unit = std::ldexp(1.0, -std::ilogb(*std::max_element(given.begin(), given.end())));
    const auto weight = [&](int rank) { return how.weights.empty() ? 1.0 : unit * given[static_cast<std::size_t>(rank)]; };
    T sum = 0;
    double divisor = 0;
    bool counted = false; // somebody's data did
    for (int rank = 0; rank < world; ++rank) {
        if (how.over_world || has(trained, rank))
            divisor += weight(rank);
        if (!has(trained, rank))
            continue;
        const T gradient = static_cast<T>(accumulated(type, from, how.micro_batches, step, rank, p, element));
        counted = counted || weight(rank) > 0;
        if (!how.over_world && count(trained) == 1 && counted)
            return gradient;
        sum += how.weights.empty() ? gradient : static_cast<T>(weight(rank)) * gradient;
    }
    return counted ? sum / static_cast<T>(divisor) : T(0);
}

/// Runs all steps and returns the state after each: in the parameters' own arithmetic, as the workers have to end up with
/// bit for bit, or all in double as a yardstick for that.
[[nodiscard]] inline std::vector<state> simulate(const sdp::model& m, const element_sets& sets, int world, const numbers& from,
    const averaging& how, int steps, bool all_in_double)
{
    const auto type_of = [&](std::size_t p) { return all_in_double ? sdp::element_type::f64 : m.parameters()[p].type(); };
    state now;
    for (std::size_t p = 0; p < m.parameters().size(); ++p) {
        const auto size = static_cast<std::size_t>(m.parameters()[p].size());
        now.gradient.emplace_back(size);
        now.optimizer.emplace_back(size);
        auto& values = now.value.emplace_back();
        for (std::size_t e = 0; e < size; ++e)
            values.push_back(rounded(type_of(p), from.initial(p, static_cast<index_t>(e))));
    }
    std::vector<state> out;
    for (int step = 0; step < steps; ++step) {
        double squares = 0;
        for (std::size_t p = 0; p < now.value.size(); ++p)
            for (std::size_t e = 0; e < now.value[p].size(); ++e) {
                const auto trained = sets.trained[p][e];
                const auto element = static_cast<index_t>(e);
                double& gradient = now.gradient[p][e];
                gradient = type_of(p) == sdp::element_type::f64 ? mean<double>(from, how, world, trained, step, p, element)
                                                                : mean<float>(from, how, world, trained, step, p, element);
                squares += gradient * gradient;
                now.value[p][e] = adam(type_of(p), now.value[p][e], now.optimizer[p][e], gradient, step + 1);
            }
        now.norm = std::sqrt(squares);
        out.push_back(now);
    }
    return out;
}

} // namespace oracle
