// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "contender.hpp"

namespace bench {

results measure(std::vector<contender>& contenders, int rounds, const coordinator& all)
{
    results out;
    const auto run = [&](contender& c) {
        all.barrier();
        return all.maximum(c.run());
    };
    const auto checked_runs = [&] {
        for (auto& c : contenders) {
            if (!c.check)
                continue;
            c.prepare();
            static_cast<void>(run(c));
            out[c.name].wrong += static_cast<std::uint64_t>(all.sum(static_cast<double>(c.check())));
        }
    };

    for (auto& c : contenders) {
        auto& m = out[c.name];
        m.fixed = c.fixed;
        m.label = c.label;
    }
    checked_runs();
    for (auto& c : contenders) // fills the caches that filling and checking have emptied
        static_cast<void>(run(c));
    for (int round = 0; round < rounds; ++round)
        for (auto& c : contenders) {
            auto& m = out[c.name];
            m.seconds.push_back(run(c));
            if (c.observed)
                for (const auto& [name, value] : c.observed())
                    m.by_round[name].push_back(all.maximum(value));
        }
    checked_runs();
    return out;
}

} // namespace bench
