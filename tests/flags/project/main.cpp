// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief Trains in the library beside it, and catches what that throws.

#include "error_types.hpp"
#include "training.hpp"

#include <cstdio>
#include <cstring>

namespace {

int failures = 0;

void expect(bool holds, const char* what)
{
    if (!holds) {
        std::fprintf(stderr, "this does not hold: %s\n", what);
        ++failures;
    }
}

template <class Function> bool throws_error(Function function, const char* words)
{
    try {
        function();
    } catch (const sdp::error& e) {
        if (std::strstr(e.what(), words) != nullptr)
            return true;
        std::fprintf(stderr, "the error says '%s'; expected the words '%s'\n", e.what(), words);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "caught no sdp::error but '%s'\n", e.what());
    }
    return false;
}

} // namespace

int main()
{
    expect(train(0.5) == 1.5, "the mean of 1 and 2 is 1.5");
    expect(throws_error([] { train(0.3); }, "coverage"), "a coverage of 0.3 among two workers is an sdp::error here too");
    expect(throws_error(train_with_ranks_that_differ, "the ranks disagree"), "ranks that differ are an sdp::error here too");

    // Some C++ runtimes compare the names of types and catch all the same; others compare addresses.
#define TYPE(type) {#type, &typeid(type)},
    static const struct {
        const char* name;
        const std::type_info* here;
    } types[] = {ERROR_TYPES(TYPE)};
    std::size_t number = 0;
    for (const auto& [name, here] : types)
        if (here != &type_in_library(number++)) {
            std::fprintf(stderr, "%s is another type in the library; expected one type with default visibility\n", name);
            ++failures;
        }
    std::printf("%zu types of exception, %d failures\n", number, failures);
    return failures == 0 ? 0 : 1;
}
