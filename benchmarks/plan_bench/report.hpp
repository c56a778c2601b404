// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Rows of named values, printed as a table and written as one JSON object per line.

#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace plan_bench {

/// One row. Values are kept as text; the columns of a table are those of its first row.
class row {
public:
    row& add(std::string name, std::string_view value)
    {
        cells_.push_back({std::move(name), std::string(value), true});
        return *this;
    }
    /// With so many digits behind the point, or as many significant ones where that would be zero.
    row& add(std::string name, double value, int digits);
    template <class Count>
    requires std::is_integral_v<Count> row& add(std::string name, Count value)
    {
        cells_.push_back({std::move(name), std::to_string(value), false});
        return *this;
    }

    struct cell {
        std::string name, value;
        bool quoted;
    };
    [[nodiscard]] const std::vector<cell>& cells() const noexcept { return cells_; }

private:
    std::vector<cell> cells_;
};

/// Prints rows as they come, with a line of names whenever these change, and appends them to a file if one is named.
class report {
public:
    explicit report(std::string json)
        : json_(std::move(json))
    {
    }
    void operator()(std::string_view experiment, const row& r);

private:
    std::string json_;
    std::vector<std::string> names_;
};

} // namespace plan_bench
