// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ranks.hpp"

#include <sdp/detail/half.hpp>

#include <algorithm>
#include <cstring>
#include <iterator>

namespace {

using namespace simulated;

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
    using namespace sdp::detail;
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
    auto& c = *comm.ranks;
    std::unique_lock lock(c.mutex);
    if (comm.destroyed)
        misuse(ncclInvalidUsage);
    if (comm.aborted)
        return;
    ++comm.running;
    const auto left = std::make_shared<std::size_t>(messages.size());
    if (comm.failure == ncclSuccess)
        for (const auto& m : messages)
            post(c, m, {&comm, m.data, m.bytes, left});
    c.changed.notify_all();
    c.changed.wait(lock, [&] { return *left == 0 || comm.aborted; });
    if (*left > 0)
        for (auto* const sides : {&c.sends, &c.receives})
            for (auto& [way, waiting] : *sides)
                std::erase_if(waiting, [&](const posted& p) { return p.owner == &comm; });
    --comm.running;
    c.changed.notify_all();
}

void simulated::run_all_reduce(ncclComm& comm, void* data, std::size_t count, ncclDataType_t type)
{
    auto& c = *comm.ranks;
    std::unique_lock lock(c.mutex);
    if (comm.destroyed)
        misuse(ncclInvalidUsage);
    if (comm.aborted)
        return;
    ++comm.running;
    const auto number = comm.reductions++;
    auto& r = c.reductions[number];
    r.data[comm.rank] = data;
    if (r.data.size() == static_cast<std::size_t>(c.size)) {
        add_all(r, count, type);
        r.left = r.data.size();
        r.done = true;
        c.changed.notify_all();
    }
    c.changed.wait(lock, [&] { return r.done || comm.aborted; });
    if (!r.done)
        r.data.erase(comm.rank);
    else if (--r.left == 0)
        c.reductions.erase(number);
    --comm.running;
    c.changed.notify_all();
}
