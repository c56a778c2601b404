// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "report.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <stdexcept>

namespace plan_bench {

row& row::add(std::string name, double value, int digits)
{
    char text[64];
    const bool tiny = value != 0 && std::abs(value) < std::pow(10.0, -digits);
    std::snprintf(text, sizeof text, tiny ? "%.*e" : "%.*f", digits, value);
    cells_.push_back({std::move(name), text, false});
    return *this;
}

void report::operator()(std::string_view experiment, const row& r)
{
    std::vector<std::string> names;
    for (const auto& c : r.cells())
        names.push_back(c.name);
    const auto print = [&](auto text_of) {
        for (std::size_t i = 0; i < r.cells().size(); ++i) {
            const auto& c = r.cells()[i];
            const int width = std::max(static_cast<int>(c.name.size()), c.quoted ? 8 : 9);
            std::printf(c.quoted ? "%-*s  " : "%*s  ", width, text_of(c).c_str());
        }
        std::printf("\n");
    };
    if (names != names_) {
        std::printf("%s# %.*s\n", names_.empty() ? "" : "\n", static_cast<int>(experiment.size()), experiment.data());
        print([](const row::cell& c) { return c.name; });
        names_ = names;
    }
    print([](const row::cell& c) { return c.value; });
    std::fflush(stdout);
    if (json_.empty())
        return;
    std::ofstream out(json_, std::ios::app);
    out << "{\"experiment\": \"" << experiment << '"';
    for (const auto& c : r.cells())
        out << ", \"" << c.name << "\": " << (c.quoted ? "\"" : "") << c.value << (c.quoted ? "\"" : "");
    out << "}\n";
    if (!out)
        throw std::runtime_error("'" + json_ + "' cannot be written");
}

} // namespace plan_bench
