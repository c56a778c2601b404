// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "options.hpp"

#include <charconv>
#include <stdexcept>
#include <string_view>

namespace overlap_bench {
namespace {

    [[nodiscard]] std::size_t size_of(std::string_view flag, std::string_view text)
    {
        std::size_t value = 0;
        const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
        std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
        const std::size_t shift = unit == "K" ? 10 : unit == "M" ? 20 : unit == "G" ? 30 : 0;
        if (code != std::errc {} || value == 0 || (shift == 0 && !unit.empty()))
            throw std::invalid_argument(std::string(flag) + " has '" + std::string(text)
                + "'; expected a number ≥ 1, with K, M or G behind it or nothing");
        return value << shift;
    }

    template <class T> [[nodiscard]] std::vector<T> list_of(std::string_view flag, std::string_view text)
    {
        std::vector<T> out;
        while (!text.empty()) {
            const auto comma = text.find(',');
            out.push_back(static_cast<T>(size_of(flag, text.substr(0, comma))));
            text = comma == std::string_view::npos ? std::string_view {} : text.substr(comma + 1);
        }
        return out;
    }

} // namespace

options parse(int argc, char** argv)
{
    options out;
    for (int i = 1; i < argc; ++i) {
        const std::string_view flag = argv[i];
        if (i + 1 == argc)
            throw std::invalid_argument(std::string(flag)
                + " needs a value; flags: --backend threads|mpi --workers N --holders K,… --bytes B,… --run-bytes B,… --rounds R "
                  "--json FILE");
        const std::string_view value = argv[++i];
        if (flag == "--backend" && (value == "threads" || value == "mpi"))
            out.backend = value;
        else if (flag == "--workers")
            out.workers = static_cast<int>(size_of(flag, value));
        else if (flag == "--holders")
            out.holders = list_of<int>(flag, value);
        else if (flag == "--bytes")
            out.bytes = list_of<std::size_t>(flag, value);
        else if (flag == "--run-bytes")
            out.run_bytes = list_of<std::size_t>(flag, value);
        else if (flag == "--rounds")
            out.rounds = static_cast<int>(size_of(flag, value));
        else if (flag == "--json")
            out.json = value;
        else
            throw std::invalid_argument("'" + std::string(flag) + " " + std::string(value) + "' is not understood");
    }
    return out;
}

} // namespace overlap_bench
