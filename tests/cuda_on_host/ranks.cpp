// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ranks.hpp"

#include <sdp/tiles/half.hpp>

#include <algorithm>
#include <cstring>
#include <iterator>

namespace {

using namespace simulated;

/// A group that runs on a stream, under the ranks' lock; none if its communicator has been aborted.
class group_on_stream {
public:
    explicit group_on_stream(ncclComm& comm)
        : comm_(&comm)
        , lock_(comm.ranks->mutex)
    {
        if (comm.destroyed)
            misuse(ncclInvalidUsage);
        if (comm.aborted)
            comm_ = nullptr;
        else
            ++comm.running;
    }
    group_on_stream(const group_on_stream&) = delete;
    group_on_stream& operator=(const group_on_stream&) = delete;
    ~group_on_stream()
    {
        if (comm_ == nullptr)
            return;
        --comm_->running;
        comm_->ranks->changed.notify_all();
    }

    explicit operator bool() const noexcept { return comm_ != nullptr; }
    /// For others to do their part, or for the communicator to be aborted.
    template <class Done> void wait(Done done) const
    {
        comm_->ranks->changed.notify_all();
        comm_->ranks->changed.wait(lock_, [&] { return done() || comm_->aborted; });
    }

private:
    ncclComm* comm_;
    mutable std::unique_lock<std::mutex> lock_;
};

/// Meets the other side of a message, or leaves this one for it.
void post(clique& c, const message& m, const posted& one)
{
    const int rank = one.owner->rank;
    const rank_pair way = m.sends ? rank_pair {rank, m.peer} : rank_pair {m.peer, rank};
    auto& others = m.sends ? c.receives[way] : c.sends[way];
    if (others.empty()) {
        (m.sends ? c.sends : c.receives)[way].push_back(one);
        return;
    }
    const auto other = others.front();
    others.pop_front();
    if (other.bytes != one.bytes)
        misuse(ncclInvalidArgument);
    if (const auto bytes = std::min(one.bytes, other.bytes); bytes > 0)
        std::memcpy(m.sends ? other.data : one.data, m.sends ? one.data : other.data, bytes);
    --*other.left;
    --*one.left;
}

template <class T, class Add> void add_all(const reduction& r, std::size_t count, Add add)
{
    for (std::size_t i = 0; i < count; ++i) {
        T sum = static_cast<const T*>(r.data.begin()->second)[i];
        for (auto other = std::next(r.data.begin()); other != r.data.end(); ++other)
            sum = add(sum, static_cast<const T*>(other->second)[i]);
        for (const auto& [rank, data] : r.data)
            static_cast<T*>(data)[i] = sum;
    }
}

void add_all(const reduction& r, std::size_t count, ncclDataType_t type)
{
    using namespace sdp::tiles;
    const auto add = [](auto a, auto b) { return a + b; };
    const auto add_half = [](auto a, auto b) { return convert<decltype(a)>(from_bits(a) + from_bits(b)); };
    if (type == ncclDouble)
        add_all<double>(r, count, add);
    else if (type == ncclFloat)
        add_all<float>(r, count, add);
    else if (type == ncclBfloat16)
        add_all<bf16_bits>(r, count, add_half);
    else
        add_all<f16_bits>(r, count, add_half);
}

} // namespace

void simulated::run_messages(ncclComm& comm, const std::vector<message>& messages)
{
    const group_on_stream here(comm);
    if (!here)
        return;
    auto& c = *comm.ranks;
    const auto left = std::make_shared<std::size_t>(messages.size());
    if (comm.failure == ncclSuccess)
        for (const auto& m : messages)
            post(c, m, {&comm, m.data, m.bytes, left});
    here.wait([&] { return *left == 0; });
    if (*left > 0)
        for (auto* const sides : {&c.sends, &c.receives})
            for (auto& [way, waiting] : *sides)
                std::erase_if(waiting, [&](const posted& p) { return p.owner == &comm; });
}

void simulated::run_all_reduce(ncclComm& comm, void* data, std::size_t count, ncclDataType_t type)
{
    const group_on_stream here(comm);
    if (!here)
        return;
    auto& c = *comm.ranks;
    const auto number = comm.reductions++;
    auto& r = c.reductions[number];
    r.data[comm.rank] = data;
    if (r.data.size() == static_cast<std::size_t>(c.size)) {
        add_all(r, count, type);
        r.left = r.data.size();
        r.done = true;
    }
    here.wait([&] { return r.done; });
    if (!r.done)
        r.data.erase(comm.rank);
    else if (--r.left == 0)
        c.reductions.erase(number);
}
