// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Passes over the elements of a bucket: pack, sum, unpack; the same for all routes.
///
/// It has the place of every piece; the engine has the communicator and the order of events. After the first step it allocates
/// nothing.

#include <sdp/detail/elements/element_dispatch.hpp>
#include <sdp/detail/exchange/bucket_buffers.hpp>
#include <sdp/detail/exchange/step_weights.hpp>
#include <sdp/detail/host/segment_layout.hpp>

#include <algorithm>
#include <span>
#include <tuple>
#include <vector>

namespace sdp::detail {

class bucket_passes {
public:
    explicit bucket_passes(bucket_buffers& buffers);

    /// Sets the description of this worker's part in the memory route; call before the first step, or never if it has none.
    void meet_in(segment_layout& layout) noexcept { layout_ = &layout; }

    /// Starts a step. `weights` are by rank, or empty for the plain mean, and must outlive the step.
    void begin_step(std::span<const double> weights) { weights_.begin(weights); }
    /// Copies the gradients of a bucket to the places that peers read or messages leave.
    void pack(std::size_t b);
    /// Sums the elements that this worker owns or swaps in a bucket: those of the memory route, or all others.
    void reduce(std::size_t b, bool through_memory);
    /// Copies the received means to the gradients.
    void unpack(std::size_t b);

private:
    [[nodiscard]] static std::size_t most_pieces(const overlap_plan& plan);

    /// Working memory of a sum, by element types; kept so that a step allocates nothing.
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

    /// Fills `places_` with the address that each piece of a parameter is packed to, or null, and advances the walker.
    template <class W> void find_places(std::size_t p, W* buffer, W* exposed);

    /// Calls `f(parameter)` for each parameter of a bucket that this worker trains, with the places of its pieces found.
    template <class W, class F> void for_each_trained(std::size_t b, F f);
    /// The buffer of a bucket; all sections start at a multiple of a cache line.
    template <class W> [[nodiscard]] W* elements(std::size_t b) noexcept;

    template <class T, class W> void pack(std::size_t b);

    /// Multiplies by the weights, since the transport's sum knows none.
    template <class T> void weigh(std::size_t p);

    template <class T, class W> void unpack(std::size_t b);

    template <class T, class W> void reduce(std::size_t b, bool through_memory);

    /// Sums a piece in rank order. `place` has this worker's packed elements, if the mean belongs there too; else it is null.
    template <class T, class W>
    void sum(workspace<T, W>& w, std::size_t b, const overlap_piece& piece, const local_tensor<T>& own, W* place);

    bucket_buffers* buffers_;
    const overlap_plan* plan_;
    segment_layout* layout_ = nullptr;
    step_weights weights_;
    // Kept between calls so that a step allocates nothing.
    piece_places walker_;
    packer packer_;
    std::vector<void*> places_; ///< by piece of the parameter at hand
    std::tuple<workspace<float, float>, workspace<float, bf16_bits>, workspace<float, f16_bits>, workspace<double, double>>
        spaces_;
};

} // namespace sdp::detail

#ifndef SDP_SEPARATE_COMPILATION
#include <sdp/src/detail/host/bucket_passes.ipp>
#endif
