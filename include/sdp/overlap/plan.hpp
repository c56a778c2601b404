// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The overlap plan of one worker: what it shares with whom, as strided runs. Data only; std only.
///
/// Elements with the same residents form a class. Within a parameter, the elements of a class are dealt to its trainers in
/// equal consecutive shares; the trainer that gets an element is its *owner*: it sums the gradients of that element, and
/// its value is the one that goes to those who store the element without training it.
///
/// Both ends of a message walk their own pieces in the same global order (parameter, cell, position), so no index ever
/// travels: the plan is all that either end needs.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace sdp {

/// A strided stretch of one local tensor whose elements have one class and one owner. 24 bytes, whatever it covers.
///
/// Covers elements start + c·stride + i for c in [0, count), i in [0, length), in the row-major order of the local tensor.
struct overlap_piece {
    std::uint64_t start : 40; ///< first element
    std::uint64_t owner : 16; ///< position of the owner among the trainers of the class
    std::uint64_t slab : 8; ///< which local tensor of the parameter
    std::uint32_t length; ///< consecutive elements
    std::uint32_t count; ///< how often
    std::uint32_t stride; ///< elements from one stretch to the next
    std::uint32_t holder_class; ///< index into `overlap_plan::classes`

    [[nodiscard]] std::uint64_t size() const noexcept { return std::uint64_t {length} * count; }
};
static_assert(sizeof(overlap_piece) == 24);

/// The workers that an element concerns, as this worker sees them.
struct holder_class {
    std::vector<int> trainers; ///< ranks, ascending: the order of every sum
    std::vector<int> readers; ///< ranks that store without training, ascending
    int position = -1; ///< of this worker among the trainers; −1 if it only reads
    std::uint64_t elements = 0; ///< of this class in the whole model

    /// Elements of the class that the trainer at that position owns.
    [[nodiscard]] std::uint64_t owned(std::size_t at) const noexcept
    {
        const std::uint64_t k = trainers.size();
        return elements / k + (at < elements % k ? 1 : 0);
    }
};

/// Everything one worker shares, parameter by parameter. Pieces of a parameter are in the global order.
struct overlap_plan {
    int rank = 0;
    int world = 1;
    std::vector<holder_class> classes;
    std::vector<overlap_piece> pieces;
    std::vector<std::size_t> first_piece; ///< of each parameter, in order of declaration; one more at the end

    [[nodiscard]] std::span<const overlap_piece> of(std::size_t parameter) const noexcept
    {
        return std::span(pieces).subspan(first_piece[parameter], first_piece[parameter + 1] - first_piece[parameter]);
    }
    [[nodiscard]] const holder_class& class_of(const overlap_piece& piece) const noexcept { return classes[piece.holder_class]; }
    [[nodiscard]] int owner_of(const overlap_piece& piece) const noexcept { return class_of(piece).trainers[piece.owner]; }
};

} // namespace sdp
