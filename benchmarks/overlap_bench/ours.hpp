// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The library's exchange as a contender, on any communicator, with every element of its result checked.

#include "../common/contender.hpp"
#include "layout.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

namespace overlap_bench {

/// A gradient that every worker can compute of every other: small whole numbers, so that sums are exact.
inline constexpr sdp::index_t gradient_period = 61;
[[nodiscard]] inline float gradient_of(int rank, sdp::index_t element)
{
    return static_cast<float>((element * 7 + rank * 31) % gradient_period);
}

/// The sum of the gradients of some workers, looked up: large models are checked element by element.
class summed_gradients {
public:
    explicit summed_gradients(std::span<const int> ranks)
    {
        for (const int rank : ranks)
            for (std::size_t i = 0; i < sums_.size(); ++i)
                sums_[i] += gradient_of(rank, static_cast<sdp::index_t>(i));
    }
    [[nodiscard]] float operator()(sdp::index_t element) const noexcept
    {
        return sums_[static_cast<std::size_t>(element % gradient_period)];
    }

private:
    std::array<float, gradient_period> sums_ {};
};

/// A way of the library's to do the exchange.
struct our_route {
    std::string_view name;
    sdp::route_choice choice;
    bool shared_gradients = false; ///< they lie where peers reach them, and are sent from
};

/// Those that exist for a communicator and a setting. Native only where all hold everything: elsewhere it is another's.
template <sdp::communicator C> [[nodiscard]] std::vector<our_route> our_routes(const planned_layout& l, int workers)
{
    std::vector<our_route> out;
    if constexpr (sdp::peer_memory<C>) {
        out.push_back({C::memory_route, sdp::route_choice::memory});
        if constexpr (!C::one_address_space)
            out.push_back({"window-shared", sdp::route_choice::memory, true});
    }
    const bool swaps = l.holders == 2;
    out.push_back(swaps ? our_route {"swap", sdp::route_choice::swap} : our_route {"two-sided", sdp::route_choice::two_sided});
    if (l.run_bytes == 0) // only where whole tensors have the same holders is anything sent from where it lies
        out.push_back(swaps ? our_route {"swap-shared", sdp::route_choice::swap, true}
                            : our_route {"two-sided-shared", sdp::route_choice::two_sided, true});
    if constexpr (sdp::native_all_reduce<C>)
        if (l.holders == workers)
            out.push_back({"native", sdp::route_choice::native});
    return out;
}

/// Elements that `arena` of `our_exchange` needs at most: each tensor starts on a cache line.
[[nodiscard]] inline std::size_t arena_elements(const layout& l)
{
    return l.elements() + 16 * l.model.parameters().size();
}

/// All contenders work in the same memory, one after the other, so that none has warmer caches and large models fit.
template <sdp::communicator C> class our_exchange {
public:
    our_exchange(const layout& l, const sdp::synchronizer_options& options, C comm, std::span<float> arena)
        : net_(l.model, l.partition, sdp::forward_masking {}, comm, options)
    {
        std::size_t begin = 0;
        for (std::size_t p = 0; p < l.model.parameters().size(); ++p) {
            const auto id = sdp::parameter_id(p);
            if (!net_.subnetwork().trains(id))
                continue;
            const auto size = static_cast<std::size_t>(net_.subnetwork().shape(id).product());
            gradients_.push_back({id,
                options.shared_gradients ? std::span(static_cast<float*>(net_.gradient_memory(id).data), size)
                                         : arena.subspan(begin, size)});
            net_.bind_gradient(id, gradients_.back().elements);
            begin += (size + 15) / 16 * 16;
            held_ += size;
        }
    }

    [[nodiscard]] auto& net() noexcept { return net_; }
    [[nodiscard]] double held_bytes() const { return static_cast<double>(held_ * sizeof(float)); }

    /// The elements that this worker shares, by who holds them; the same order of sets on all workers.
    [[nodiscard]] std::map<std::vector<int>, std::size_t> shared() const
    {
        std::map<std::vector<int>, std::size_t> out;
        for (const auto& c : net_.plan().classes)
            if (c.position >= 0 && c.trainers.size() > 1)
                out[c.trainers] += static_cast<std::size_t>(c.elements);
        return out;
    }

    [[nodiscard]] bench::contender as_contender(std::string route)
    {
        bench::contender out;
        out.name = std::move(route);
        out.prepare = [this] {
            for (const auto& g : gradients_)
                sdp::initialize(g.elements, slab(g), [&](sdp::index_t element) { return gradient_of(net_.rank(), element); });
        };
        out.run = bench::timed([this] { net_.synchronize(); });
        out.check = [this] {
            std::uint64_t wrong = 0;
            std::vector<float> expected;
            for (const auto& g : gradients_) {
                const element_holders holders(net_.model(), net_.assignment(), g.id);
                expected.resize(g.elements.size());
                std::vector<summed_gradients> sums;
                std::vector<float> count;
                for (const auto& ranks : holders.sets()) {
                    sums.emplace_back(ranks);
                    count.push_back(static_cast<float>(ranks.size()));
                }
                sdp::initialize(expected, slab(g), [&](sdp::index_t element) {
                    const auto set = holders.set_of(element);
                    return sums[set](element) / count[set];
                });
                for (std::size_t i = 0; i < expected.size(); ++i)
                    wrong += g.elements[i] != expected[i] ? 1 : 0;
            }
            return wrong;
        };
        return out;
    }

    /// Counters of what a step sends, told by one step outside of the measurement, and by the formula.
    [[nodiscard]] bench::counters traffic(const bench::coordinator& all)
    {
        net_.synchronize();
        const auto sent = static_cast<double>(net_.step_traffic().bytes());
        const auto bound = static_cast<double>(sdp::bytes_per_step(net_.model(), net_.residency(), net_.rank()));
        return {{"sent_max", all.maximum(sent)}, {"sent_mean", all.sum(sent) / net_.assignment().world()},
            {"sent_bound", all.maximum(bound)}, {"bytes_off", all.sum(std::abs(sent - bound))}};
    }

private:
    struct gradient {
        sdp::parameter_id id;
        std::span<float> elements;
    };
    [[nodiscard]] const sdp::slab& slab(const gradient& g) const { return net_.subnetwork().slabs(g.id).front(); }

    sdp::data_parallel<decltype(layout::partition), sdp::forward_masking, C> net_;
    std::vector<gradient> gradients_;
    std::size_t held_ = 0;
};

/// The library's contenders of a setting, and what they say of it.
template <sdp::communicator C> class our_contenders {
public:
    our_contenders(const options& o, const planned_layout& planned, const layout& l, const bench::selection& chosen, C comm,
        std::span<float> arena)
    {
        sdp::synchronizer_options plain;
        if (o.bucket_bytes > 0)
            plain.bucket_bytes = o.bucket_bytes;
        for (const auto& route : our_routes<C>(planned, comm.size()))
            if (chosen.has(route.name) || exchanges_.empty()) { // one at least: it knows what is held
                auto options = plain;
                options.route = route.choice;
                options.shared_gradients = route.shared_gradients;
                exchanges_.push_back({std::string(route.name), std::make_unique<our_exchange<C>>(l, options, comm, arena)});
            }
    }

    void add_to(std::vector<bench::contender>& contenders, const bench::selection& chosen, const bench::coordinator& all)
    {
        for (auto& [route, exchange] : exchanges_)
            if (chosen.has(route)) {
                auto& c = contenders.emplace_back(exchange->as_contender(route));
                c.fixed = exchange->traffic(all);
            }
    }

    [[nodiscard]] double held_bytes() const { return exchanges_.front().exchange->held_bytes(); }
    [[nodiscard]] auto shared() const { return exchanges_.front().exchange->shared(); }

    /// Least bytes per worker of an all-reduce among the holders of each element: Σ 2(k−1)/k of the bytes that it holds with k
    /// holders.
    [[nodiscard]] double wire_bytes() const
    {
        double out = 0;
        for (const auto& [ranks, elements] : shared()) {
            const auto k = static_cast<double>(ranks.size());
            out += 2 * (k - 1) / k * static_cast<double>(elements * sizeof(float));
        }
        return out;
    }

private:
    struct named {
        std::string route;
        std::unique_ptr<our_exchange<C>> exchange;
    };
    std::vector<named> exchanges_;
};

/// Measures contenders, the dense one among them, and adds what is said of a setting: its sizes, each contender's time over the
/// dense one's of the same round, bus bandwidth, and wrong elements.
template <sdp::communicator C>
[[nodiscard]] bench::results measure_setting(const layout& l, const our_contenders<C>& ours,
    std::vector<bench::contender>& contenders, int rounds, int world, const bench::coordinator& all)
{
    const double held = all.sum(ours.held_bytes()) / world, wire = all.sum(ours.wire_bytes()) / world;
    auto out = bench::measure(contenders, rounds, all);
    const auto dense = out.find("dense");
    for (auto& [name, m] : out) {
        m.fixed["bytes"] = static_cast<double>(l.elements() * sizeof(float));
        m.fixed["held_bytes"] = held;
        m.fixed["matrices"] = static_cast<double>(l.model.parameters().size());
        m.fixed["sets"] = static_cast<double>(l.sets);
        m.fixed["wrong"] = static_cast<double>(m.wrong);
        if (!l.all_sets)
            m.label += (m.label.empty() ? "" : "; ") + std::to_string(l.sets)
                + " sets of holders, not all that there are: one run for each would make a larger model";
        for (const auto* counter : {"sent_max", "sent_mean", "sent_bound", "bytes_off"})
            m.fixed.emplace(counter, 0); // contenders that nobody counts
        for (std::size_t round = 0; round < m.seconds.size(); ++round) {
            m.by_round["busbw_GB/s"].push_back(wire / m.seconds[round] / 1e9);
            m.by_round["to_dense"].push_back(dense == out.end() ? 0 : m.seconds[round] / dense->second.seconds[round]);
        }
    }
    return out;
}

/// Time of one copy of the held bytes: a lower bound for any contender that packs.
[[nodiscard]] inline bench::contender copy_contender(std::size_t bytes, std::span<float> arena)
{
    const auto from = arena.first(bytes / sizeof(float));
    auto to = std::make_shared<std::vector<float>>(from.size());
    bench::contender out;
    out.name = "memcpy";
    out.prepare = [from] {
        for (std::size_t i = 0; i < from.size(); ++i)
            from[i] = gradient_of(1, static_cast<sdp::index_t>(i));
    };
    out.run = bench::timed([from, to] { std::copy(from.begin(), from.end(), to->begin()); });
    out.check = [to] {
        std::uint64_t wrong = 0;
        for (std::size_t i = 0; i < to->size(); ++i)
            wrong += (*to)[i] != gradient_of(1, static_cast<sdp::index_t>(i)) ? 1 : 0;
        return wrong;
    };
    return out;
}

} // namespace overlap_bench
