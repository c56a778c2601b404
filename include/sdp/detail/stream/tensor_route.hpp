// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Route for streams whose tiles reach each other's tensors: owners sum in the trainers' gradients, and write the mean
/// there.
///
/// Streams wait for each other. Threads synchronise twice a step, in the call that ends it: first they publish the addresses of
/// their tensors and that their events are recorded, then that their sums are enqueued. Peers use a worker's tensors only between
/// the two, and its stream waits for them; so an exception of the host's between `ready` and `finish` frees nothing that peers
/// will write.

#include <sdp/detail/exchange/lifetime_gate.hpp>
#include <sdp/detail/stream/device_arrays.hpp>
#include <sdp/detail/stream/tensor_sum_tiles.hpp>

#include <algorithm>
#include <atomic>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace sdp::detail {

/// No-op route for tiles that do not reach the tensors of other workers.
template <stream_exchange C> class tensor_route {
public:
    tensor_route(C&, const bucket_buffers&, traffic&, const synchronizer_options&) { }

    static constexpr std::string_view name {};
    static void begin_step() noexcept { }
    static void launch(std::size_t) noexcept { }
    [[nodiscard]] static bool concerned() noexcept { return false; }
    template <class TypeOf> static void finish(const tiles::tile_job&, TypeOf) noexcept { }
    static void retract() noexcept { }
};

template <stream_peer_memory C> class tensor_route<C> {
public:
    /// Collective among the workers that reach each other's memory.
    tensor_route(C& comm, const bucket_buffers& buffers, traffic& sent, const synchronizer_options& options)
        : comm_(&comm)
        , buffers_(&buffers)
        , sent_(&sent)
        , limit_(options.local.timeout)
        , arrays_(comm)
    {
        if (!may_share_memory(buffers.plan(), comm, options))
            return;
        segment_.emplace(comm.share_on_stream(
            sizeof(header) + buffers.tensors().gradients().size() * sizeof(void*), buffers.buckets().size() + 1));
        sums_.emplace(buffers, exchange_layouts(comm, buffers, limit_));
        job_.tiles = arrays_.upload(sums_->tiles());
        job_.shapes = arrays_.upload(sums_->shapes());
        job_.runs = arrays_.upload(sums_->runs());
        job_.groups = arrays_.upload(sums_->groups());
        job_.tensor_sides = arrays_.upload(sums_->sides());
        places_.resize(sums_->tensors().size());
        job_.places = places_there_ = arrays_.upload(places_);
        const std::size_t peers = buffers.peers().ranks.size();
        for (std::uint32_t i = 0; i < peers; ++i) {
            bool source = false, owner = false;
            for (const auto& b : buffers.buckets()) {
                source = source || b.peers[i].read > 0;
                owner = owner || b.peers[i].exposed > 0;
            }
            if (source)
                sources_.push_back(i);
            if (owner)
                owners_.push_back(i);
        }
    }
    tensor_route(const tensor_route&) = delete;
    tensor_route& operator=(const tensor_route&) = delete;
    ~tensor_route() { retract(); }

    static constexpr std::string_view name = C::memory_route;

    void begin_step() noexcept { ++step_; }

    /// Returns true if any gradient uses this route.
    [[nodiscard]] bool concerned() const noexcept { return !sources_.empty() || !owners_.empty(); }

    /// Marks where the gradients of a bucket are final, on the host's own stream: this one waits for the mark only when it sums
    /// the bucket, so that it need not wait for later gradients to sum earlier ones.
    void launch(std::size_t b)
    {
        if (!concerned())
            return;
        bool used = sums_->of(b).tiles.count > 0;
        for (const auto& share : buffers_->buckets()[b].peers)
            used = used || share.exposed > 0;
        buffers_->count_in_memory(b, *sent_);
        if (used)
            segment_->record_host(b);
    }

    /// Puts the sums of all buckets on the stream, and has it wait for what owners do to this worker's tensors.
    /// @param step what is the same for all sums of the step
    /// @param wire_of the type that elements of a type are rounded to
    template <class TypeOf> void finish(const tiles::tile_job& step, TypeOf wire_of)
    {
        if (!concerned())
            return;
        job_.scales = step.scales;
        job_.weights = step.weights;
        job_.rank = step.rank;
        expose();
        for (const auto i : sources_)
            wait(i, &header::exposed, "gradients");
        sum(wire_of);
        for (const auto i : owners_)
            wait(i, &header::summed, "mean gradients");
        follow_owners();
    }

    /// Withdraws the tensors of a worker that stops: owners that have not begun with them never will, and its stream waits for
    /// the others.
    void retract() noexcept
    {
        if (!segment_)
            return;
        own().gate.close();
        try {
            follow_owners();
        } catch (...) { // the stream is lost, and with it the device
        }
    }

private:
    /// At the start of a segment; then the addresses of gradients, by parameter. The counters count steps.
    struct alignas(64) header {
        std::uint64_t exposed; ///< gradients may be read and overwritten by their owners, behind their marks
        std::uint64_t summed; ///< this worker, as an owner, has put all of that on its stream, in front of its last mark
        lifetime_gate gate; ///< to where the addresses lead
    };

    [[nodiscard]] static void** addresses(std::byte* base) noexcept { return reinterpret_cast<void**>(base + sizeof(header)); }
    [[nodiscard]] std::byte* base_of(std::uint32_t peer) const { return segment_->of(buffers_->peers().ranks[peer]); }
    /// Returns the header of a peer that has shared its memory, as every peer with a published counter has.
    [[nodiscard]] header& head_of(std::uint32_t peer) const
    {
        auto* const base = base_of(peer);
        if (base == nullptr)
            fail("rank ", buffers_->peers().ranks[peer], " has not shared its memory");
        return *reinterpret_cast<header*>(base);
    }
    [[nodiscard]] header& own() const { return *reinterpret_cast<header*>(segment_->of(buffers_->plan().rank)); }
    [[nodiscard]] std::size_t last_mark() const noexcept { return buffers_->buckets().size(); }

    [[nodiscard]] bool has(std::uint32_t peer, std::uint64_t header::*counter) const
    {
        return base_of(peer) != nullptr && std::atomic_ref(head_of(peer).*counter).load(std::memory_order_acquire) >= step_;
    }
    void say(std::uint64_t header::*counter)
    {
        std::atomic_ref(own().*counter).store(step_, std::memory_order_release);
        segment_->notify();
    }
    void wait(std::uint32_t peer, std::uint64_t header::*counter, std::string_view what)
    {
        const auto done = [&] { return has(peer, counter); };
        try {
            if (!done())
                segment_->wait(buffers_->peers().ranks[peer], done, limit_);
        } catch (const timeout_error& e) {
            fail_by_peer<timeout_error>(e.rank(), e.peer(), what, " in tensors: ", e.what());
        }
    }

    void expose()
    {
        auto** const to = addresses(segment_->of(buffers_->plan().rank));
        const auto& gradients = buffers_->tensors().gradients();
        for (std::size_t p = 0; p < gradients.size(); ++p)
            to[p] = gradients[p].data;
        say(&header::exposed);
    }

    template <class TypeOf> void sum(TypeOf wire_of)
    {
        // The sources' tensors keep their addresses until the sums are on the stream.
        const entered_gates sources(buffers_->plan().rank, buffers_->peers().ranks, sources_,
            [this](std::uint32_t peer) -> lifetime_gate& { return head_of(peer).gate; });
        try {
            find_tensors();
            for (std::size_t b = 0; b < buffers_->buckets().size(); ++b) {
                const auto& bucket = sums_->of(b);
                if (bucket.tiles.count == 0)
                    continue;
                segment_->wait_on(buffers_->plan().rank, b);
                for (const auto i : bucket.sources)
                    segment_->wait_on(buffers_->peers().ranks[i], b);
                auto job = job_;
                job.tiles += bucket.tiles.first;
                job.count = static_cast<std::uint32_t>(bucket.tiles.count);
                for (const auto* place : std::span(places_).subspan(bucket.first_tensor, bucket.tensors))
                    job.alignment = tiles::common_alignment(job.alignment, place);
                const auto type = buffers_->buckets()[b].type;
                comm_->executor().run(tile_phase::reduce_in_tensors, job, type, wire_of(type));
            }
            segment_->record(last_mark());
        } catch (...) {
            wait_for_stream();
            throw;
        }
        say(&header::summed);
    }

    /// Nobody will be told to wait for what is there.
    void wait_for_stream() noexcept
    {
        try {
            comm_->executor().read(nullptr, nullptr, 0);
        } catch (...) { // the device is lost
        }
    }

    /// Updates the addresses of this step's tensors; usually they are those of the step before.
    void find_tensors()
    {
        bool moved = false;
        for (std::size_t i = 0; i < places_.size(); ++i) {
            const auto& t = sums_->tensors()[i];
            void* const at = t.peer == peer_table::self ? buffers_->tensors().gradients()[t.parameter].data
                                                        : addresses(base_of(t.peer))[t.parameter];
            moved = moved || places_[i] != at;
            places_[i] = at;
        }
        if (moved)
            arrays_.write(places_there_, std::span<void* const>(places_));
    }

    /// Makes this worker's stream wait until the owners have finished with its tensors.
    void follow_owners()
    {
        for (const auto i : owners_)
            if (has(i, &header::summed) && followed_ < step_)
                segment_->wait_on(buffers_->peers().ranks[i], last_mark());
        followed_ = step_;
    }

    C* comm_;
    const bucket_buffers* buffers_;
    traffic* sent_;
    std::chrono::milliseconds limit_;
    device_arrays<C> arrays_;
    std::optional<tensor_sum_tiles> sums_;
    std::optional<decltype(std::declval<C&>().share_on_stream(std::size_t {}, std::size_t {}))> segment_;
    std::vector<std::uint32_t> sources_, owners_; ///< peers whose elements this worker owns; peers that own its
    std::vector<void*> places_; ///< by tensor of the sums
    void** places_there_ = nullptr;
    tiles::tile_job job_; ///< what all launches share
    std::uint64_t step_ = 0, followed_ = 0;
};

} // namespace sdp::detail
