// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "options.hpp"

#include <charconv>
#include <stdexcept>
#include <string_view>

namespace plan_bench {
namespace {

    template <class T> [[nodiscard]] T number(std::string_view flag, std::string_view text)
    {
        T value = 0;
        const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
        if (code != std::errc {} || end != text.data() + text.size() || value < 1)
            throw std::invalid_argument(std::string(flag) + " has '" + std::string(text) + "'; expected a number ≥ 1");
        return value;
    }

} // namespace

options parse(int argc, char** argv)
{
    options out;
    for (int i = 1; i < argc; ++i) {
        const std::string_view flag = argv[i];
        if (i + 1 == argc)
            throw std::invalid_argument(std::string(flag)
                + " needs a value; flags: --what all|runs|llama|designs --runs R --layers L --workers N --rounds R --json FILE");
        const std::string_view value = argv[++i];
        if (flag == "--what" && (value == "all" || value == "runs" || value == "llama" || value == "designs"))
            out.what = value;
        else if (flag == "--runs")
            out.runs = number<std::int64_t>(flag, value);
        else if (flag == "--layers")
            out.layers = number<int>(flag, value);
        else if (flag == "--workers")
            out.workers = number<int>(flag, value);
        else if (flag == "--rounds")
            out.rounds = number<int>(flag, value);
        else if (flag == "--json")
            out.json = value;
        else
            throw std::invalid_argument("'" + std::string(flag) + " " + std::string(value) + "' is not understood");
    }
    if (out.workers % 1024 != 0 && out.workers != 64)
        throw std::invalid_argument("--workers has " + std::to_string(out.workers) + "; expected 64 or a multiple of 1024");
    return out;
}

} // namespace plan_bench
