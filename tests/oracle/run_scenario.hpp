// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Runs a whole scenario on threads and collects what its workers report.

#include "drive.hpp"

#include <sdp/comm/threads.hpp>

#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace oracle {

/// A number from the environment, for more or fewer cases than usual.
[[nodiscard]] inline std::uint64_t from_environment(const char* name, std::uint64_t otherwise)
{
    const char* const text = std::getenv(name);
    return text != nullptr && *text != '\0' ? std::strtoull(text, nullptr, 10) : otherwise;
}

/// Counts of the cases that the scenarios covered.
struct tally {
    std::uint64_t ran = 0, refused = 0, nested = 0, compared = 0;
    std::map<std::string, int> by_regime, by_source, by_world, by_type, by_holders;

    void count(const scenario& s, const element_sets& sets)
    {
        ++by_regime[name_of(s.regime)];
        ++by_source[name_of(s.from)];
        ++by_type[name_of(s.type)];
        ++by_world[std::to_string(s.world) + " workers"];
        bool inner = false;
        for (const auto& p : s.model.parameters())
            inner = inner || (p.where.within && !p.where.axes.empty());
        nested += inner ? 1 : 0;
        rank_mask seen = 0;
        for (const auto& p : sets.trained)
            for (const auto trained : p)
                seen |= rank_mask(1) << oracle::count(trained);
        for (int k = 1; k <= s.world; ++k)
            if (has(seen, k))
                ++by_holders["k = " + std::to_string(k)];
    }

    [[nodiscard]] std::string text() const
    {
        std::string out = std::to_string(ran) + " scenarios ran, " + std::to_string(refused) + " had to be refused, "
            + std::to_string(nested) + " had neurons inside blocks, " + std::to_string(compared) + " numbers compared";
        for (const auto* counts : {&by_regime, &by_source, &by_world, &by_type, &by_holders}) {
            out += counts == &by_holders ? ";\nwith elements of" : ";\n";
            for (const auto& [what, times] : *counts)
                out += " " + what + ": " + std::to_string(times);
        }
        return out;
    }
};

/// Runs the scenario, which must be one that can be trained, on threads; one outcome per rank.
[[nodiscard]] inline std::vector<outcome> outcomes_on_threads(const scenario& s, const expectation& expected)
{
    std::vector<outcome> out(static_cast<std::size_t>(s.world));
    sdp::run_workers(s.world, [&](sdp::thread_communicator communicator) {
        out[static_cast<std::size_t>(communicator.rank())] = run_worker(s, expected, communicator);
    });
    return out;
}

/// The failures of all ranks, and where their norms differ.
[[nodiscard]] inline std::vector<std::string> failures_of(const std::vector<outcome>& outcomes)
{
    std::vector<std::string> out;
    for (const auto& o : outcomes) {
        out.insert(out.end(), o.failures.begin(), o.failures.end());
        for (std::size_t step = 0; step < o.norms.size(); ++step)
            if (bits_of(o.norms[step]) != bits_of(outcomes.front().norms.at(step)))
                out.push_back("the gradient norms of the ranks differ in step " + std::to_string(step));
    }
    return out;
}

/// Checks that need the results of all ranks together.
[[nodiscard]] inline std::vector<std::string> joint_failures(
    const scenario& s, const element_sets& sets, const std::vector<outcome>& outcomes)
{
    std::vector<std::string> out;
    const auto expected = total_bytes(s.model, sets, s.owner_update());
    for (std::size_t step = 0; step < static_cast<std::size_t>(s.steps); ++step) {
        std::uint64_t sent = 0;
        for (const auto& o : outcomes)
            sent += o.sent_bytes.at(step);
        if (sent != expected)
            out.push_back("all ranks sent " + std::to_string(sent) + " bytes in step " + std::to_string(step)
                + ", the formula gives " + std::to_string(expected));
    }
    if (!s.owner_update())
        return out;
    std::set<std::pair<std::size_t, index_t>> owned;
    for (const auto& o : outcomes)
        for (const auto& element : o.owned)
            if (!owned.insert(element).second)
                out.push_back("an element of " + s.model.parameters()[element.first].name + " has two owners");
    if (static_cast<index_t>(owned.size()) != s.model.size())
        out.push_back(std::to_string(owned.size()) + " of " + std::to_string(s.model.size()) + " elements have an owner");
    return out;
}

/// A scenario with an element that nobody trains: the library must say so, and name the parameter.
[[nodiscard]] inline std::vector<std::string> refusal_on_threads(const scenario& s, const std::vector<std::size_t>& untrained)
{
    try {
        sdp::run_workers(s.world, [&](sdp::thread_communicator communicator) {
            with_regime(
                s, [&](auto regime) { sdp::data_parallel(s.model, prepared {s.holders}, regime, communicator, s.options); });
        });
    } catch (const sdp::aborted_error& e) {
        return {std::string("the cause of the refusal was lost: ") + e.what()};
    } catch (const sdp::error& e) {
        const auto name = "'" + s.model.parameters()[untrained.front()].name + "'";
        if (std::string(e.what()).find(name) == std::string::npos)
            return {"the refusal does not name parameter " + name + ": " + e.what()};
        return {};
    }
    return {"an element that nobody trains was accepted"};
}

[[nodiscard]] inline std::vector<std::string> run_on_threads(const scenario& s, tally& seen)
{
    const auto sets = resolve(s.model, s.holders, s.rules());
    if (const auto untrained = sets.untrained(); !untrained.empty()) {
        ++seen.refused;
        return refusal_on_threads(s, untrained);
    }
    ++seen.ran;
    seen.count(s, sets);
    const expectation expected(s);
    try {
        const auto outcomes = outcomes_on_threads(s, expected);
        for (const auto& o : outcomes)
            seen.compared += o.compared;
        auto failures = failures_of(outcomes);
        for (auto& failure : joint_failures(s, sets, outcomes))
            failures.push_back(std::move(failure));
        return failures;
    } catch (const std::exception& e) {
        return {std::string("threw: ") + e.what()};
    }
}

} // namespace oracle
