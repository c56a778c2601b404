// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief A worker's way from the model to its plan, each stage timed apart.

#include "heap.hpp"

#include "../common/contender.hpp"

#include <sdp/diagnostics.hpp>
#include <sdp/masking/residency.hpp>
#include <sdp/overlap/make_plan.hpp>

#include <algorithm>
#include <cstddef>
#include <ctime>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>

namespace plan_bench {

/// Processor time: planning is one thread's work, and others on the machine are not its fault.
class stopwatch {
public:
    /// Milliseconds since the last call, or since it was made.
    double lap()
    {
        const auto now = std::clock();
        const double out = 1e3 * static_cast<double>(now - last_) / CLOCKS_PER_SEC;
        last_ = now;
        return out;
    }

private:
    std::clock_t last_ = std::clock();
};

/// Memory of a plan.
[[nodiscard]] inline std::size_t bytes_of(const sdp::overlap_plan& p)
{
    std::size_t out = sizeof p + p.classes.capacity() * sizeof(sdp::sharing_class)
        + p.patterns.capacity() * sizeof(sdp::overlap_plan::pattern) + p.runs.capacity() * sizeof(sdp::pattern_run)
        + p.pieces.capacity() * sizeof(sdp::overlap_piece) + p.first_piece.capacity() * sizeof(std::size_t);
    for (const auto& c : p.classes)
        out += (c.trainers.capacity() + c.readers.capacity()) * sizeof(int);
    return out;
}

/// One worker's way to its plan.
struct planned {
    double model_ms = 0, assignment_ms = 0, residency_ms = 0, subnetwork_ms = 0, plan_ms = 0;
    std::size_t peak = 0; ///< on the heap, above what was there before
    std::size_t entries = 0; ///< units in the assignment, neighbours with the same holders counted once
    std::size_t sets = 0; ///< distinct holder sets
    std::size_t runs = 0, pieces = 0, bytes = 0; ///< of the plan
    sdp::index_t stored = 0; ///< elements on this worker
    double balance = 1; ///< heaviest worker over the mean, of what is split
    int peers = 0; ///< most, through what is split

    [[nodiscard]] double total_ms() const { return model_ms + assignment_ms + residency_ms + subnetwork_ms + plan_ms; }
};

/// `describe()` gives the model, `assign(model)` the assignment.
template <class Describe, class Assign, class Regime>
[[nodiscard]] planned plan_once(Describe describe, Assign assign, const Regime& regime, int rank)
{
    planned out;
    const std::size_t before = heap_bytes();
    start_peak();
    stopwatch watch;
    const sdp::model m = describe();
    out.model_ms = watch.lap();
    const sdp::assignment a = assign(m);
    out.assignment_ms = watch.lap();
    const sdp::residency r(m, a, regime);
    out.residency_ms = watch.lap();
    const sdp::subnetwork s(m, r, rank);
    out.subnetwork_ms = watch.lap();
    const sdp::overlap_plan p = sdp::make_overlap_plan(m, r, s);
    out.plan_ms = watch.lap();
    out.peak = peak_bytes() - before;
    for (std::size_t g = 0; g < a.group_count(); ++g)
        out.entries += a.units(sdp::group_id(g)).size();
    out.entries += a.block_count();
    out.sets = a.holder_set_count();
    out.runs = p.runs.size();
    out.pieces = p.pieces.size();
    out.bytes = bytes_of(p);
    out.stored = s.stored_elements();
    out.balance = sdp::balance(m, a);
    const auto peers = sdp::peers_per_worker(a);
    out.peers = *std::max_element(peers.begin(), peers.end());
    std::uint64_t covered = 0;
    for (const auto& piece : p.pieces)
        covered += p.size_of(piece);
    if (covered != static_cast<std::uint64_t>(out.stored))
        throw std::runtime_error(
            "a plan covers " + std::to_string(covered) + " elements, but its worker stores " + std::to_string(out.stored));
    return out;
}

/// Planning as a contender. `time` is the member that counts as its time, the other stages are counters.
template <class Once> [[nodiscard]] bench::contender planning(const char* name, auto planned::*time, Once once)
{
    const auto last = std::make_shared<planned>();
    bench::contender out;
    out.name = name;
    out.run = [=] {
        *last = once();
        return std::invoke(time, *last) / 1e3;
    };
    out.observed = [last] {
        const auto runs = static_cast<double>(last->runs);
        return bench::counters {{"assign_ms", last->assignment_ms}, {"residency_ms", last->residency_ms},
            {"subnetwork_ms", last->subnetwork_ms}, {"plan_ms", last->plan_ms}, {"runs", runs},
            {"sets", static_cast<double>(last->sets)}, {"entries", static_cast<double>(last->entries)},
            {"stored", static_cast<double>(last->stored)}, {"peers_max", last->peers}, {"balance", last->balance},
            {"plan_B", static_cast<double>(last->bytes)}, {"B/run", static_cast<double>(last->bytes) / runs},
            {"index_B/run", 4 * static_cast<double>(last->stored) / runs},
            {"peak_MiB", static_cast<double>(last->peak) / (1024.0 * 1024.0)}};
    };
    return out;
}

} // namespace plan_bench
