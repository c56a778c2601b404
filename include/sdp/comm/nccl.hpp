// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief A communicator over NCCL, for gradients in the memory of CUDA devices: one rank per device, one `ncclComm_t`, one
/// stream.
///
/// Holder sets need no communicators of their own: the elements that two ranks share are sent by grouped sends and receives. The
/// host never waits within a step. The next call throws an error that NCCL has found in the meantime, and every wait has a
/// time-out, after which the communicator is aborted.

#include <sdp/comm/detail/nccl_state.hpp>
#include <sdp/comm/stream.hpp>

#include <nccl.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace sdp {

/// An exchange of control data in host memory, staged in device memory.
class nccl_exchange {
public:
    nccl_exchange() = default;

    [[nodiscard]] bool test()
    {
        if (!state_)
            return true;
        state_->owner->throw_if_failed();
        if (!state_->done.reached())
            return false;
        finish();
        return true;
    }
    /// @throws sdp::timeout_error or sdp::nccl_error, naming the peers
    void wait(std::chrono::milliseconds limit)
    {
        if (!state_)
            return;
        state_->owner->wait(state_->done, limit);
        finish();
    }

private:
    friend class nccl_communicator;
    struct state {
        state(std::shared_ptr<detail::nccl_state> s, std::size_t bytes)
            : owner(std::move(s))
            , device(owner->executor().allocate(bytes))
        {
        }
        state(const state&) = delete;
        state& operator=(const state&) = delete;
        ~state() { owner->executor().release(device); }

        std::shared_ptr<detail::nccl_state> owner;
        std::byte* device; ///< received bytes first, then those to send
        std::vector<incoming> receives;
        cuda::event done;
    };

    void finish()
    {
        std::size_t bytes = 0;
        for (const auto& m : state_->receives)
            bytes += m.bytes;
        std::vector<std::byte> all(bytes);
        state_->owner->executor().fetch(all.data(), state_->device, bytes);
        const auto* at = all.data();
        for (const auto& m : state_->receives) {
            std::copy_n(at, m.bytes, static_cast<std::byte*>(m.data));
            at += m.bytes;
        }
        state_.reset();
    }

    std::unique_ptr<state> state_;
};

/// One rank of an NCCL communicator. Copies share it. Models `communicator`, `ordered_exchange`, `abortable`, `stream_exchange`
/// and `stream_all_reduce`. The device of the communicator has to be current in every call.
class nccl_communicator {
public:
    static constexpr memory_space space = memory_space::cuda;
    static constexpr bool ordered_exchange = true; ///< a stream keeps the order of posting

    /// Creates an owned communicator, destroyed with its last copy. Collective. Destruction is collective within a node, because
    /// NCCL requires it: all ranks of a node destroy it at the same point of the program, after all graphs that have captured a
    /// step.
    /// @param id from `ncclGetUniqueId`, the same on all ranks
    /// @param rank of this worker, 0 … size − 1
    /// @param size number of ranks, each on a device of its own
    /// @param host the framework's stream
    /// @param options time-out and kind of wait
    /// @throws sdp::timeout_error if a peer is not there in time; sdp::nccl_error if NCCL fails
    [[nodiscard]] static nccl_communicator create(
        const ncclUniqueId& id, int rank, int size, cudaStream_t host, const nccl_options& options = {})
    {
        const auto handle = detail::make_communicator(id, rank, size, options);
        try {
            return {handle, true, host, options};
        } catch (...) {
            ncclCommAbort(handle);
            throw;
        }
    }
    /// Uses the framework's communicator, which has to outlive all copies and has no other user meanwhile. An error aborts it,
    /// which frees it; the framework must not destroy it then (`aborted()`). A blocking communicator waits inside NCCL without a
    /// limit for a peer that is missing in two ranks' first exchange (`nccl_options::blocking`).
    /// @throws sdp::nccl_error also if the communicator is still being initialised and this takes longer than the time-out
    [[nodiscard]] static nccl_communicator attach(ncclComm_t handle, cudaStream_t host, const nccl_options& options = {})
    {
        if (const auto code = detail::outcome_of(handle, ncclInProgress, options.timeout); code != ncclSuccess)
            throw nccl_error(detail::text("the attached NCCL communicator is not ready: ", ncclGetErrorString(code)), code);
        return {handle, false, host, options};
    }

    [[nodiscard]] int rank() const noexcept { return state_->rank(); }
    [[nodiscard]] int size() const noexcept { return state_->size(); }

    /// Exchanges control data in host memory.
    [[nodiscard]] nccl_exchange exchange(exchange_tag, std::span<const outgoing> sends, std::span<const incoming> receives)
    {
        state_->checks()(0, sends, receives);
        nccl_exchange out;
        if (sends.empty() && receives.empty())
            return out;
        executor().refuse_capture("an exchange of numbers on the host");
        std::size_t bytes = 0;
        for (const auto& m : receives)
            bytes += m.bytes;
        for (const auto& m : sends)
            bytes += m.bytes;
        auto s = std::make_unique<nccl_exchange::state>(state_, bytes);
        s->receives.assign(receives.begin(), receives.end());
        auto* at = s->device;
        std::vector<incoming> there;
        for (const auto& m : receives) {
            there.push_back({m.peer, at, m.bytes});
            at += m.bytes;
        }
        std::vector<outgoing> from;
        for (const auto& m : sends) {
            executor().write(at, m.data, m.bytes);
            from.push_back({m.peer, at, m.bytes});
            at += m.bytes;
        }
        state_->exchange(from, there);
        s->done.record(executor().stream());
        out.state_ = std::move(s);
        return out;
    }

    void exchange_on_stream(std::span<const outgoing> sends, std::span<const incoming> receives)
    {
        state_->exchange(sends, receives);
    }
    void all_reduce_on_stream(void* data, std::size_t count, element_type type) { state_->all_reduce(data, count, type); }
    [[nodiscard]] cuda::executor& executor() noexcept { return state_->executor(); }
    /// @throws sdp::nccl_error if NCCL has found an error in the meantime
    void throw_if_failed() { state_->throw_if_failed(); }
    void abort() noexcept { state_->abort(); }
    [[nodiscard]] bool aborted() const noexcept { return state_->aborted(); }

private:
    nccl_communicator(ncclComm_t handle, bool owned, cudaStream_t host, const nccl_options& options)
        : state_(std::make_shared<detail::nccl_state>(handle, owned, host, options))
    {
    }

    std::shared_ptr<detail::nccl_state> state_;
};

} // namespace sdp
