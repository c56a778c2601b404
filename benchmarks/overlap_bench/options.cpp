// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "options.hpp"

#include <algorithm>
#include <charconv>
#include <stdexcept>

namespace overlap_bench {

std::size_t size_of(std::string_view flag, std::string_view text)
{
    std::size_t value = 0;
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
    std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
    const std::size_t shift = unit == "K" ? 10 : unit == "M" ? 20 : unit == "G" ? 30 : 0;
    if (code != std::errc {} || value == 0 || (shift == 0 && !unit.empty()))
        throw std::invalid_argument(
            std::string(flag) + " has '" + std::string(text) + "'; expected a number ≥ 1, with K, M or G behind it or nothing");
    return value << shift;
}

namespace {
    template <class F> void for_each_part(std::string_view text, F f)
    {
        while (!text.empty()) {
            const auto comma = text.find(',');
            f(text.substr(0, comma));
            text = comma == std::string_view::npos ? std::string_view {} : text.substr(comma + 1);
        }
    }

} // namespace

std::vector<std::size_t> sizes_of(std::string_view flag, std::string_view text)
{
    std::vector<std::size_t> out;
    for_each_part(text, [&](std::string_view part) { out.push_back(size_of(flag, part)); });
    return out;
}

bool options::wants(std::string_view route) const
{
    return only.empty() || std::find(only.begin(), only.end(), route) != only.end();
}

void parse_flags(int argc, char** argv, const std::map<std::string_view, flag_setter>& flags)
{
    for (int i = 1; i < argc; i += 2) {
        const auto known = flags.find(argv[i]);
        if (known == flags.end() || i + 1 == argc) {
            std::string words = known == flags.end() ? "is not understood; flags:" : "needs a value; flags:";
            for (const auto& [flag, set] : flags)
                words += ' ' + std::string(flag);
            throw std::invalid_argument("'" + std::string(argv[i]) + "' " + words);
        }
        known->second(known->first, argv[i + 1]);
    }
}

options parse(int argc, char** argv)
{
    options out;
    using text = std::string_view;
    parse_flags(argc, argv,
        {
            {"--backend", [&](text, text v) { out.backend = v; }},
            {"--workers", [&](text f, text v) { out.workers = static_cast<int>(size_of(f, v)); }},
            {"--layout", [&](text, text v) { out.layout = v; }},
            {"--holders",
                [&](text f, text v) {
                    out.holders.clear();
                    for_each_part(v,
                        [&](text k) { out.holders.push_back(k == "mixed" ? mixed_holders : static_cast<int>(size_of(f, k))); });
                }},
            {"--bytes", [&](text f, text v) { out.bytes = sizes_of(f, v); }},
            {"--run-bytes", [&](text f, text v) { out.run_bytes = sizes_of(f, v); }},
            {"--parameters", [&](text f, text v) { out.parameters = size_of(f, v); }},
            {"--scale", [&](text f, text v) { out.scale = size_of(f, v); }},
            {"--bucket-bytes", [&](text f, text v) { out.bucket_bytes = size_of(f, v); }},
            {"--rounds", [&](text f, text v) { out.rounds = static_cast<int>(size_of(f, v)); }},
            {"--seconds", [&](text f, text v) { out.most_seconds = static_cast<double>(size_of(f, v)); }},
            {"--only", [&](text, text v) { for_each_part(v, [&](text route) { out.only.emplace_back(route); }); }},
            {"--json", [&](text, text v) { out.json = v; }},
        });
    if (out.backend != "threads" && out.backend != "mpi")
        throw std::invalid_argument("--backend has '" + out.backend + "'; expected threads or mpi");
    return out;
}

} // namespace overlap_bench
