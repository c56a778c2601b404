// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief What is done to the gradients of a bucket: packed, summed, unpacked; by whichever ways its classes go.
///
/// Knows what lies where, but no communicator, and not when what is done: that is the engine's. After the first step it allocates
/// nothing.

#include <sdp/detail/exchange/bucket_buffers.hpp>
#include <sdp/detail/exchange/step_weights.hpp>
#include <sdp/detail/host/segment_layout.hpp>

#include <span>
#include <tuple>
#include <vector>

namespace sdp::detail {

class bucket_passes {
public:
    explicit bucket_passes(bucket_buffers& store);

    /// Where this worker's part in the memory route is described; before the first step, and not at all if it has none.
    void meet_in(segment_layout& layout) noexcept { layout_ = &layout; }

    /// Makes ready for a step. `weights` are by rank, or empty for the plain mean, and must stay until the step is done.
    void begin_step(std::span<const double> weights) { weights_.begin(weights); }
    /// Copies the gradients of a bucket to where they travel from.
    void pack(std::size_t b);
    /// Sums what this worker sums of a bucket: of the classes that go through memory, or of all others.
    void reduce(std::size_t b, bool through_memory);
    /// Copies the means that have come back to the gradients.
    void unpack(std::size_t b);

private:
    [[nodiscard]] static std::size_t most_pieces(const overlap_plan& plan);

    /// How many elements of each section of a peer's have been gone through.
    struct cursor {
        std::size_t to_owner = 0, from_trainer = 0, swap_out = 0, swap_in = 0, exposed = 0;
    };
    /// What a sum needs, by element types; kept so that a step allocates nothing.
    template <class T, class W> struct workspace {
        std::vector<side<T, W>> sides;
        std::vector<memory_source<T, W>> sources; ///< by peer
        std::vector<W*> sections; ///< by peer: its next packed elements
        reduction<T, W> reduce;

        void prepare(std::size_t peers, std::size_t trainers)
        {
            sides.reserve(trainers);
            sources.resize(peers);
            sections.resize(peers);
        }
    };

    template <class T> [[nodiscard]] T* elements(std::size_t b, std::size_t offset) noexcept;
    [[nodiscard]] std::uint32_t other_trainer(const overlap_piece& piece) const noexcept
    {
        return store_->peers().classes[piece.sharing_class].trainers[plan_->class_of(piece).position == 0 ? 1 : 0];
    }

    /// Fills `places_` with where each piece of a parameter is packed, or null, going on from `cursors_`.
    template <class W> void find_places(std::size_t b, std::size_t p, std::size_t& kept, std::size_t& native);

    /// Calls `f(parameter)` for what this worker trains of a bucket, with the places of its pieces found.
    template <class W, class F> void for_each_trained(std::size_t b, F f);

    template <class T, class W> void pack(std::size_t b);

    /// The transport knows no weights, so they are put on before.
    template <class T> void weigh(std::size_t p);

    template <class T, class W> void unpack(std::size_t b);

    template <class T, class W> void reduce(std::size_t b, bool through_memory);

    /// Sums a piece in rank order. `place` is where this worker's elements were packed, if the mean is to come there too.
    template <class T, class W>
    void sum(workspace<T, W>& w, std::size_t b, const overlap_piece& piece, const local_tensor<T>& own, W* place);

    bucket_buffers* store_;
    const overlap_plan* plan_;
    segment_layout* layout_ = nullptr;
    step_weights weights_;
    // Kept between calls so that a step allocates nothing.
    std::vector<cursor> cursors_;
    packer packer_;
    std::vector<void*> places_; ///< by piece of the parameter at hand
    std::tuple<workspace<float, float>, workspace<float, bf16_bits>, workspace<float, f16_bits>, workspace<double, double>>
        spaces_;
};

} // namespace sdp::detail

#ifndef SDP_SEPARATE_COMPILATION
#include <sdp/src/detail/host/bucket_passes.ipp>
#endif
