// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The one check, at set-up, that all ranks were built from the same description.
///
/// Ranks that differ would exchange messages of other lengths and hang, or worse, average the wrong elements.

#include <sdp/comm/detail/root_collectives.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace sdp::detail {

/// Something that must be equal everywhere: its name, and a text with a line per fact.
struct aspect {
    std::string_view name;
    std::function<std::string()> describe;
};

/// FNV-1a, 64 bits: tells descriptions apart, protects against nothing.
[[nodiscard]] constexpr std::uint64_t digest(std::string_view text) noexcept
{
    std::uint64_t hash = 0xcbf29ce484222325;
    for (const char c : text)
        hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    return hash;
}

/// The first line in which two texts differ, as "… there, … here".
[[nodiscard]] inline std::string first_difference(std::string_view there, int rank, std::string_view here)
{
    const auto line = [](std::string_view& rest) {
        const auto end = rest.find('\n');
        const auto out = rest.substr(0, end);
        rest = end == std::string_view::npos ? std::string_view {} : rest.substr(end + 1);
        return out;
    };
    while (!there.empty() || !here.empty()) {
        const auto a = line(there), b = line(here);
        if (a != b)
            return text("rank ", rank, " has ", a.empty() ? "nothing" : a, ", rank 0 has ", b.empty() ? "nothing" : b);
    }
    return "the descriptions differ";
}

/// Collective. Bytes sent here are returned.
/// @throws sdp::input_error on every rank if one differs from rank 0, naming the rank and what differs
template <communicator C>
std::uint64_t check_agreement(C& comm, const std::vector<aspect>& aspects, std::chrono::milliseconds limit)
{
    root_collectives<C> collectives(comm, limit);
    std::vector<std::uint64_t> mine, all;
    for (const auto& a : aspects)
        mine.push_back(digest(a.describe()));
    collectives.gather(0, std::span<const std::uint64_t>(mine), all);

    struct verdict {
        std::int32_t rank = -1;
        std::uint32_t aspect = 0;
        std::uint64_t length = 0;
    } found;
    const auto n = aspects.size();
    for (std::size_t i = n; i < all.size() && found.rank < 0; ++i)
        if (all[i] != mine[i % n])
            found = {static_cast<std::int32_t>(i / n), static_cast<std::uint32_t>(i % n), 0};
    collectives.broadcast(0, std::span(&found, 1));
    if (found.rank < 0)
        return root_collective_bytes(comm.rank(), comm.size(), n * sizeof(std::uint64_t), sizeof found);

    // Only now do descriptions travel: from the rank that differs to rank 0, and the sentence from there to all.
    const auto& differing = aspects[found.aspect];
    std::string sentence;
    if (comm.rank() == found.rank) {
        const std::string own = differing.describe();
        const std::uint64_t length = own.size();
        collectives.send(gather_tag, 0, &length, sizeof length);
        collectives.send(gather_tag, 0, own.data(), own.size());
    } else if (comm.rank() == 0) {
        std::uint64_t length = 0;
        collectives.receive(gather_tag, found.rank, &length, sizeof length);
        std::string theirs(static_cast<std::size_t>(length), '\0');
        collectives.receive(gather_tag, found.rank, theirs.data(), theirs.size());
        sentence = text(
            "the ranks disagree about the ", differing.name, ": ", first_difference(theirs, found.rank, differing.describe()));
        found.length = sentence.size();
    }
    collectives.broadcast(0, std::span(&found, 1));
    sentence.resize(static_cast<std::size_t>(found.length));
    collectives.broadcast(0, std::span(sentence.data(), sentence.size()));
    throw input_error(sentence, found.rank);
}

} // namespace sdp::detail
