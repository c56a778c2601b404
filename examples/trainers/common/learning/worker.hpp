// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief One worker of a training or of a rehearsal: what it trains, bound to what synchronizes it.

#include "common/learning/learner.hpp"
#include "common/run/run.hpp"

#include <sdp/adapters/torch.hpp>
#include <sdp/synchronizer_options.hpp>

#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace trainer {

[[nodiscard]] inline sdp::synchronizer_options synchronization(const options& o)
{
    sdp::synchronizer_options out;
    out.normalizer = o.normalizer == normalization::holders ? sdp::normalizer::holders : sdp::normalizer::world;
    out.update = o.owner_update ? sdp::update_mode::owner_update : sdp::update_mode::average;
    out.local.layout = sdp::value_layout::split;
    out.wire = o.wire_format == wire::bf16 ? sdp::wire_format::bf16
        : o.wire_format == wire::f16       ? sdp::wire_format::f16
                                           : sdp::wire_format::as_is;
    if (o.comm == backend::nccl)
        out.bucket_bytes = std::size_t {16} << 20; // each exchange costs the host a thread of NCCL's and several launches
    return out;
}

/// @tparam Net `sdp::data_parallel`, or the `sdp::synchronizer` in it
template <class Net> class worker {
public:
    /// @param statistics this worker's part of the task's statistics; null if it has none
    /// @param after_pass whether gradients are handed over at the end of a pass instead of as they become final
    worker(const job& work, Net& net, const sdp::subnetwork* statistics, bool after_pass)
        : options_(work.o)
        , net_(net)
        , owned_(net.owned_ranges())
        , learner_(work.o, *work.what, net.subnetwork(), statistics,
              work.o.owner_update ? std::optional(std::span(std::as_const(owned_))) : std::nullopt)
        , after_pass_(after_pass)
        , listener_(learner_.stored(), [this](sdp::parameter_id id, const at::Tensor& gradient) { is_final(id, gradient); })
    {
        for (std::size_t p = 0; p < learner_.stored().size(); ++p)
            for (std::size_t i = 0; i < learner_.stored()[p].size(); ++i)
                net.bind(sdp::parameter_id(p), learner_.stored()[p][i].value, i);
        if (options_.owner_update)
            net.read_owned_values(learner_.owned_values());
    }

    [[nodiscard]] const learner& learned() const noexcept { return learner_; }

    worker(const worker&) = delete; // the listener knows where it is
    worker& operator=(const worker&) = delete;

    /// Switches the exchange of the following passes on or off.
    void set_exchanging(bool on) noexcept { exchanging_ = on; }

    /// Forward and backward on all micro-batches of a step. Returns the mean loss.
    double pass(const data_source& data, int step)
    {
        double loss = 0;
        for (int micro = 0; micro < options_.accumulate; ++micro) {
            const auto number = static_cast<std::uint64_t>(step) * static_cast<std::uint64_t>(options_.accumulate)
                + static_cast<std::uint64_t>(micro);
            const auto batch = data.read(options_.batch, number);
            if (micro + 1 < options_.accumulate) {
                const auto inner = net_.no_sync();
                loss += pass_one(batch);
            } else {
                loss += pass_one(batch);
            }
        }
        for (const auto id : learner_.complete_gradients())
            if (exchanging_)
                net_.ready(id, learner_.stored()[sdp::index_of(id)].front().value.grad());
        return loss / options_.accumulate;
    }

    /// Waits until the gradients are the mean of their holders'.
    void finish()
    {
        if (exchanging_)
            net_.finish();
    }

    /// The optimizer's step, and what is live during it.
    void update(double rate, double gradient_norm, worker_report& report)
    {
        if (options_.owner_update)
            net_.read_owned_gradients(learner_.owned_gradients());
        learner_.update(rate, gradient_norm);
        learner_.measure(report); // while gradients and optimizer state are both live
        learner_.drop_gradients();
    }

    /// Sends values to those who store them and have not trained them.
    void publish(worker_report& report)
    {
        if (options_.owner_update)
            net_.write_owned_values(learner_.owned_values());
        if (!exchanging_)
            return;
        net_.publish_values();
        report.bytes_sent = net_.step_traffic().bytes();
        report.exchange_buffers = net_.buffer_bytes();
    }

private:
    void is_final(sdp::parameter_id id, const at::Tensor& gradient)
    {
        learner_.gradient_is_final(gradient);
        if (!exchanging_)
            return;
        if (after_pass_)
            waiting_.emplace_back(id, gradient);
        else
            net_.ready(id, gradient);
    }
    double pass_one(const batch& b)
    {
        const double loss = learner_.pass(b, options_.accumulate);
        for (const auto& [id, gradient] : waiting_)
            net_.ready(id, gradient);
        waiting_.clear();
        return loss;
    }

    const options& options_;
    Net& net_;
    std::vector<sdp::owned_range> owned_;
    learner learner_;
    bool after_pass_, exchanging_ = true;
    std::vector<std::pair<sdp::parameter_id, at::Tensor>> waiting_;
    gradient_listener listener_;
};

} // namespace trainer
