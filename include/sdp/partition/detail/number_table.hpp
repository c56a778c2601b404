// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Hash tables for planning: distinct values under small numbers, and numbers under pairs of numbers.
///
/// Both tables are flat, because planning does millions of look-ups and one node per entry costs a cache miss per look-up. Values
/// are numbered in order of insertion, never in the order of the hash table, so all ranks get the same numbers.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace sdp::detail {

/// Mixes a number into 64 well-distributed bits, with the finaliser of MurmurHash3.
[[nodiscard]] constexpr std::uint64_t mix64(std::uint64_t x) noexcept
{
    x = (x ^ (x >> 33)) * 0xff51afd7ed558ccd;
    x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53;
    return x ^ (x >> 33);
}

/// Numbers distinct values 0, 1, …. `T` has `hash()` and `==`.
template <class T> class number_table {
public:
    /// The number of a value; a new value gets a new number.
    std::uint32_t add(const T& value)
    {
        if (2 * values_.size() >= slots_.size())
            grow();
        const std::uint64_t hash = value.hash();
        auto& slot = slots_[position(value, hash)];
        if (slot == 0) {
            values_.push_back(value);
            hashes_.push_back(hash);
            slot = static_cast<std::uint32_t>(values_.size());
        }
        return slot - 1;
    }

    [[nodiscard]] std::optional<std::uint32_t> find(const T& value) const
    {
        if (slots_.empty())
            return std::nullopt;
        const std::uint32_t slot = slots_[position(value, value.hash())];
        return slot == 0 ? std::nullopt : std::optional(slot - 1);
    }

    [[nodiscard]] const T& operator[](std::uint32_t number) const noexcept { return values_[number]; }
    [[nodiscard]] std::size_t size() const noexcept { return values_.size(); }

private:
    [[nodiscard]] std::size_t position(const T& value, std::uint64_t hash) const
    {
        const std::size_t last = slots_.size() - 1;
        for (std::size_t at = hash & last;; at = (at + 1) & last)
            if (slots_[at] == 0 || (hashes_[slots_[at] - 1] == hash && values_[slots_[at] - 1] == value))
                return at;
    }

    void grow()
    {
        slots_.assign(std::max<std::size_t>(16, 2 * slots_.size()), 0);
        const std::size_t last = slots_.size() - 1;
        for (std::size_t i = 0; i < hashes_.size(); ++i) {
            std::size_t at = hashes_[i] & last;
            while (slots_[at] != 0)
                at = (at + 1) & last;
            slots_[at] = static_cast<std::uint32_t>(i + 1);
        }
    }

    std::vector<T> values_;
    std::vector<std::uint64_t> hashes_; ///< by number
    std::vector<std::uint32_t> slots_; ///< number + 1; 0 marks a free slot. Their count is a power of two
};

/// Stores a number for each unordered pair of different numbers.
class pair_table {
public:
    /// A pointer to the pair's number, and true if the pair is new. The pointer is valid until the next call.
    std::pair<std::uint32_t*, bool> emplace(std::uint32_t a, std::uint32_t b)
    {
        if (2 * used_ >= entries_.size())
            grow();
        const std::uint64_t key = a < b ? (std::uint64_t {a} << 32) | b : (std::uint64_t {b} << 32) | a;
        auto& e = entries_[position(key)];
        const bool added = e.key == 0;
        used_ += added ? 1 : 0;
        e.key = key;
        return {&e.value, added};
    }

private:
    struct entry {
        std::uint64_t key = 0; ///< 0 marks a free entry: no pair of different numbers has this key
        std::uint32_t value = 0;
    };

    [[nodiscard]] std::size_t position(std::uint64_t key) const noexcept
    {
        const std::size_t last = entries_.size() - 1;
        std::size_t at = mix64(key) & last;
        while (entries_[at].key != 0 && entries_[at].key != key)
            at = (at + 1) & last;
        return at;
    }

    void grow()
    {
        auto before = std::move(entries_);
        entries_.assign(std::max<std::size_t>(16, 2 * before.size()), {});
        for (const auto& e : before)
            if (e.key != 0)
                entries_[position(e.key)] = e;
    }

    std::vector<entry> entries_; ///< their count is a power of two
    std::size_t used_ = 0;
};

} // namespace sdp::detail
