// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Options that are one of several words.

#include <CLI/CLI.hpp>

#include <map>
#include <string>

namespace trainer {

template <class Enum>
void add_choice(
    CLI::App& app, const std::string& flag, Enum& value, const std::map<std::string, Enum>& names, const std::string& help)
{
    std::string initial;
    for (const auto& [name, named] : names)
        if (named == value)
            initial = name;
    app.add_option_function<std::string>(
           flag, [&value, names](const std::string& name) { value = names.at(name); }, help)
        ->check(CLI::IsMember(names))
        ->default_str(initial);
}

} // namespace trainer
