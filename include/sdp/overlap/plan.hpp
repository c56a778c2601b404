// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The overlap plan of one worker: the elements it shares, the ranks it shares them with, and their positions, as patterns
/// of runs. Data only; std only.
///
/// Elements with the same residents form a sharing class. Within a parameter, the elements of a class are dealt to its trainers
/// in equal consecutive shares. The trainer of a share is the *owner* of its elements: it sums their gradients, and it sends
/// their values to the workers that store them without training them.
///
/// Both ends of a message walk their own pieces in the same global order (parameter, block of rows, strip, row, run), so no index
/// is ever sent: either end needs only its plan. A split column axis costs one run per interval of columns for any number of
/// rows, and rows are walked in memory order, so that runs of one element still use the cache.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace sdp {

/// Consecutive elements within a row. 8 bytes.
struct pattern_run {
    std::uint64_t offset : 36; ///< from the beginning of the row
    std::uint64_t length : 28;

    static constexpr std::uint64_t most = (std::uint64_t {1} << 28) - 1; ///< elements; a longer interval takes several runs
};
static_assert(sizeof(pattern_run) == 8);

/// Some rows of one local tensor, with one pattern of runs, one sharing class and one owner. 24 bytes at any size.
///
/// Consists of the elements start + row·stride + run.offset + i, in the row-major order of the local tensor.
struct overlap_piece {
    std::uint64_t start : 40; ///< first element of the first row
    std::uint64_t owner : 16; ///< position of the owner among the trainers of the class
    std::uint64_t slab : 8; ///< number of the local tensor of the parameter
    std::uint32_t rows;
    std::uint32_t stride; ///< elements from one row to the next
    std::uint32_t pattern; ///< index into the plan's patterns
    std::uint32_t sharing_class; ///< index into the plan's classes
};
static_assert(sizeof(overlap_piece) == 24);

/// Trainers and readers of a sharing class, as this worker sees them.
struct sharing_class {
    std::vector<int> trainers; ///< ranks, ascending: the order of every sum
    std::vector<int> readers; ///< ranks that store without training, ascending
    int position = -1; ///< of this worker among the trainers; −1 for a reader
    std::uint64_t elements = 0; ///< of this class in the whole model

    /// Number of elements of the class that the trainer at that position owns. Approximate above 256 trainers, where whole grains
    /// are dealt.
    [[nodiscard]] std::uint64_t owned(std::size_t at) const noexcept
    {
        const std::uint64_t k = trainers.size();
        return elements / k + (at < elements % k ? 1 : 0);
    }
};

/// All elements that one worker shares, parameter by parameter. The pieces of a parameter are in the global order.
struct overlap_plan {
    struct pattern {
        std::size_t first = 0; ///< index of its first run
        std::size_t count = 0; ///< of runs
        std::uint64_t elements = 0; ///< in a row
    };

    int rank = 0;
    int world = 1;
    std::vector<sharing_class> classes;
    std::vector<pattern> patterns;
    std::vector<pattern_run> runs; ///< of all patterns
    std::vector<overlap_piece> pieces;
    std::vector<std::size_t> first_piece; ///< of each parameter, in order of declaration; then the number of all pieces

    [[nodiscard]] std::span<const overlap_piece> of(std::size_t parameter) const noexcept
    {
        return std::span(pieces).subspan(first_piece[parameter], first_piece[parameter + 1] - first_piece[parameter]);
    }
    [[nodiscard]] std::span<const pattern_run> runs_of(const overlap_piece& piece) const noexcept
    {
        const auto& p = patterns[piece.pattern];
        return std::span(runs).subspan(p.first, p.count);
    }
    /// Number of elements of a piece.
    [[nodiscard]] std::uint64_t size_of(const overlap_piece& piece) const noexcept
    {
        return patterns[piece.pattern].elements * piece.rows;
    }
    [[nodiscard]] const sharing_class& class_of(const overlap_piece& piece) const noexcept
    {
        return classes[piece.sharing_class];
    }
    [[nodiscard]] int owner_of(const overlap_piece& piece) const noexcept { return class_of(piece).trainers[piece.owner]; }
};

} // namespace sdp
