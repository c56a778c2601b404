// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The backends of overlap_bench, and the loop over settings that they share.

#include "measure.hpp"

#include <stdexcept>
#include <string>

namespace overlap_bench {

void run_threads(const options& o);

/// The program has no MPI where none was found when it was built.
void run_mpi(const options& o, int argc, char** argv);

template <class F> void for_each_setting(const options& o, int workers, F f)
{
    for (const auto bytes : o.bytes)
        for (const auto run_bytes : o.run_bytes)
            for (const int holders : o.holders) {
                if (holders > workers)
                    throw std::invalid_argument(
                        "--holders has " + std::to_string(holders) + ", but there are " + std::to_string(workers) + " workers");
                f(bytes, run_bytes, holders);
            }
}

inline void report(const options& o, const std::vector<row>& rows, const coordinator& all)
{
    if (!all.root)
        return;
    for (const auto& r : rows) {
        print(r);
        if (!o.json.empty())
            write_json(o.json, r);
        if (r.wrong > 0)
            throw std::runtime_error("route " + r.route + " computed wrong elements");
    }
}

} // namespace overlap_bench
