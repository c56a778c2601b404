// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Workers as threads of one process on one CUDA device or on several, so that one device can rehearse many workers.
///
/// Each worker has its own stream. Where all devices reach each other's memory, owners sum in the trainers' tensors; streams wait
/// for each other, and threads synchronise only to exchange the addresses of tensors and to tell that an event is recorded. A
/// message is one copy on the device, on the receiver's stream, behind the sender's work. The host never waits for a device.

#include <sdp/comm/stream.hpp>
#include <sdp/comm/threads.hpp>
#include <sdp/cuda/executor.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace sdp {

/// Host memory of the workers of a thread group, with CUDA events as marks. Models `stream_segment`.
class cuda_thread_segment {
public:
    [[nodiscard]] std::byte* of(int rank) const noexcept
    {
        auto* const base = inner_.of(rank);
        return base == nullptr ? nullptr : base + sizeof(header);
    }
    void notify() const noexcept { inner_.notify(); }
    /// @throws what `thread_segment::wait` throws
    template <class Done> void wait(int rank, Done done, std::chrono::milliseconds limit) const
    {
        inner_.wait(rank, std::move(done), limit);
    }

    /// @throws sdp::cuda_error
    void record(std::size_t number) { (*marks_)[number].record(executor_->stream()); }
    /// @throws sdp::cuda_error
    void record_host(std::size_t number) { (*marks_)[number].record(executor_->host_stream()); }
    /// @throws sdp::cuda_error
    void wait_on(int rank, std::size_t number) const
    {
        reinterpret_cast<const header*>(inner_.of(rank))->marks[number].make_wait(executor_->stream());
    }

private:
    friend class cuda_thread_communicator;
    /// Precedes the memory. Written before any peer learns of a mark.
    struct alignas(64) header {
        const cuda::event* marks;
    };
    using events = std::vector<cuda::event>;

    /// The events and their owner live until all workers have released the segment, so no worker waits on a destroyed event.
    cuda_thread_segment(const thread_communicator& group, std::size_t bytes, std::shared_ptr<events> marks,
        std::shared_ptr<cuda::executor> executor)
        : inner_(group.share(sizeof(header) + bytes, marks))
        , marks_(std::move(marks))
        , executor_(std::move(executor))
    {
        reinterpret_cast<header*>(inner_.of(group.rank()))->marks = marks_->data();
    }

    thread_segment inner_;
    std::shared_ptr<events> marks_;
    std::shared_ptr<cuda::executor> executor_;
};

/// One worker of a thread group. Its gradients lie on the device that is current at construction. Models `communicator`,
/// `abortable`, `stream_exchange` and `stream_peer_memory`. Copies share one stream and belong to one thread. The workers of a
/// group construct their communicators in the same order.
class cuda_thread_communicator {
public:
    static constexpr memory_space space = memory_space::cuda;
    static constexpr std::string_view memory_route = "device";
    static constexpr bool one_address_space = true;

    /// @param group the worker's rank in the thread group
    /// @param host the stream of the worker's own kernels
    /// @param limit for the wait on another thread
    /// @throws sdp::cuda_error without a device
    explicit cuda_thread_communicator(
        thread_communicator group, cudaStream_t host = nullptr, std::chrono::milliseconds limit = std::chrono::minutes(10))
        : state_(std::make_shared<state>(std::move(group), host, limit))
    {
    }

    [[nodiscard]] int rank() const { return state_->group.rank(); }
    [[nodiscard]] int size() const { return state_->group.size(); }
    /// Exchanges control data in host memory.
    [[nodiscard]] thread_exchange exchange(exchange_tag tag, std::span<const outgoing> sends, std::span<const incoming> receives)
    {
        return state_->group.exchange(tag, sends, receives);
    }

    /// True if the devices of all workers reach each other's memory; gradients are sent in messages otherwise. The first call
    /// waits until all workers have constructed their communicator.
    /// @throws sdp::timeout_error naming a worker that has not
    /// @throws sdp::cuda_error if CUDA reports that two devices can reach each other but cannot enable it
    [[nodiscard]] bool reaches(int) const { return state_->all_reach(); }
    [[nodiscard]] thread_segment share(std::size_t bytes) const { return state_->group.share(bytes); }
    /// @param bytes of this worker's own host memory
    /// @param marks number of marks that this worker records
    [[nodiscard]] cuda_thread_segment share_on_stream(std::size_t bytes, std::size_t marks)
    {
        return {state_->group, bytes, std::make_shared<std::vector<cuda::event>>(marks), state_->shared_executor()};
    }

    void exchange_on_stream(std::span<const outgoing> sends, std::span<const incoming> receives)
    {
        state_->exchange(sends, receives);
    }

    [[nodiscard]] cuda::executor& executor() { return state_->executor(); }
    /// Throws pending errors. CUDA reports an error of a device in a later call.
    /// @throws sdp::cuda_error if a stream capture includes workers that a graph cannot wait for
    void throw_if_failed()
    {
        if (size() > 1)
            executor().refuse_capture("an exchange between threads");
    }
    void abort() { state_->group.abort(); }

private:
    class state {
    public:
        state(thread_communicator g, cudaStream_t host, std::chrono::milliseconds l)
            : group(std::move(g))
            , limit_(l)
            , kept_(std::make_shared<kept>(host))
            , events_(group, sizeof(int), {kept_, &kept_->events}, shared_executor())
        {
            int device = 0;
            cuda::check_call(cudaGetDevice(&device), "cudaGetDevice");
            device_at(group.rank()).store(device + 1, std::memory_order_release);
            events_.notify();
        }

        [[nodiscard]] bool all_reach()
        {
            if (!all_reach_)
                all_reach_ = reach_all();
            return *all_reach_;
        }

        void exchange(std::span<const outgoing> sends, std::span<const incoming> receives)
        {
            const auto stream = executor().stream();
            events_.record(ready);
            offers_.resize(sends.size());
            taken_.resize(receives.size());
            out_.clear();
            in_.clear();
            for (std::size_t i = 0; i < sends.size(); ++i) {
                offers_[i] = sends[i].data;
                out_.push_back({sends[i].peer, &offers_[i], sizeof offers_[i]});
            }
            for (std::size_t i = 0; i < receives.size(); ++i)
                in_.push_back({receives[i].peer, &taken_[i], sizeof taken_[i]});
            group.exchange(0, out_, in_).wait(limit_);
            for (std::size_t i = 0; i < receives.size(); ++i) {
                events_.wait_on(receives[i].peer, ready);
                cuda::check_call(cudaMemcpyAsync(receives[i].data, taken_[i], receives[i].bytes, cudaMemcpyDefault, stream),
                    "cudaMemcpyAsync");
            }
            // The sender must not reuse its buffer before the copy.
            events_.record(copied);
            meet(receives, sends);
            for (const auto& m : sends)
                events_.wait_on(m.peer, copied);
            meet(sends, receives); // the marks may be recorded again only after this
        }

        [[nodiscard]] cuda::executor& executor() noexcept { return kept_->executor; }
        [[nodiscard]] std::shared_ptr<cuda::executor> shared_executor() const { return {kept_, &kept_->executor}; }

        const thread_communicator group;

    private:
        /// State that peers may still use after this worker has failed: its buffers and events live until all workers have
        /// released them.
        struct kept {
            explicit kept(cudaStream_t host)
                : executor(host)
            {
            }
            cuda::executor executor;
            std::vector<cuda::event> events = std::vector<cuda::event>(2);
        };

        static constexpr std::size_t ready = 0, copied = 1; ///< marks

        /// Device number of a worker plus one; 0 while unknown.
        [[nodiscard]] std::atomic_ref<int> device_at(int rank) const noexcept
        {
            return std::atomic_ref(*reinterpret_cast<int*>(events_.of(rank)));
        }

        /// Gives the same answer on all workers, because each checks all pairs of devices.
        [[nodiscard]] bool reach_all() const
        {
            std::vector<int> devices;
            for (int rank = 0; rank < group.size(); ++rank) {
                const auto known
                    = [&] { return events_.of(rank) != nullptr && device_at(rank).load(std::memory_order_acquire) != 0; };
                if (!known())
                    events_.wait(rank, known, limit_);
                devices.push_back(device_at(rank).load(std::memory_order_acquire) - 1);
            }
            for (const int from : devices)
                for (const int to : devices) {
                    int can = 1;
                    if (from != to)
                        cuda::check_call(cudaDeviceCanAccessPeer(&can, from, to), "cudaDeviceCanAccessPeer");
                    if (can == 0)
                        return false;
                }
            for (const int to : devices)
                if (to != devices[static_cast<std::size_t>(group.rank())])
                    cuda::enable_peer_access(to);
            return true;
        }

        /// Sends an empty signal to the peers `to` and waits for one from each of the peers `from`.
        template <class To, class From> void meet(std::span<const To> to, std::span<const From> from)
        {
            static constexpr char nod = 0;
            out_.clear();
            in_.clear();
            nods_.resize(from.size());
            for (const auto& m : to)
                out_.push_back({m.peer, &nod, 1});
            for (std::size_t i = 0; i < from.size(); ++i)
                in_.push_back({from[i].peer, &nods_[i], 1});
            group.exchange(0, out_, in_).wait(limit_);
        }

        std::chrono::milliseconds limit_;
        std::shared_ptr<kept> kept_;
        cuda_thread_segment events_; ///< events of messages; its memory holds the worker's device number
        std::optional<bool> all_reach_;
        // These lists are kept between calls, so that a step allocates nothing.
        std::vector<const void*> offers_, taken_;
        std::vector<char> nods_;
        std::vector<outgoing> out_;
        std::vector<incoming> in_;
    };

    std::shared_ptr<state> state_;
};
static_assert(stream_exchange<cuda_thread_communicator> && abortable<cuda_thread_communicator>);
static_assert(stream_peer_memory<cuda_thread_communicator>);

} // namespace sdp
