// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ranks.hpp"
#include "runtime.hpp"
#include "streams.hpp"

#include <algorithm>
#include <cstring>
#include <string>

namespace {

using simulated::clique;
using simulated::message;
using simulated::misuse;

struct {
    std::mutex mutex;
    std::map<const ncclComm*, std::shared_ptr<ncclComm>> communicators;
    std::map<std::string, std::shared_ptr<clique>> cliques;
    std::uint64_t ids = 0;
} all;

std::shared_ptr<ncclComm> find(const ncclComm* handle)
{
    const std::lock_guard lock(all.mutex);
    const auto at = all.communicators.find(handle);
    return at == all.communicators.end() ? nullptr : at->second;
}
std::shared_ptr<ncclComm> take(const ncclComm* handle)
{
    const std::lock_guard lock(all.mutex);
    const auto node = all.communicators.extract(handle);
    return node.empty() ? nullptr : node.mapped();
}

/// A communicator that may be given something.
std::shared_ptr<ncclComm> usable(const ncclComm* handle)
{
    auto out = find(handle);
    return out && out->introduced && !out->begun && out->device == simulated::current_device ? out : nullptr;
}

/// Returns an object that a captured group stores in its graph: NCCL frees a communicator only after the graph.
std::shared_ptr<void> held_by_graph(const std::shared_ptr<ncclComm>& comm, cudaStream_t stream)
{
    if (!simulated::stream_of(stream).captured)
        return nullptr;
    const std::lock_guard lock(comm->ranks->mutex);
    ++comm->captured;
    return {comm.get(), [comm](void*) {
                const std::lock_guard freed(comm->ranks->mutex);
                --comm->captured;
                comm->ranks->changed.notify_all();
            }};
}

/// Returns true if all peers of a group have begun to connect too. Under the ranks' lock.
bool in_touch(const ncclComm& comm)
{
    return std::all_of(comm.called.begin(), comm.called.end(), [&](int peer) {
        return peer == comm.rank || comm.ranks->calling.contains({peer, comm.rank});
    });
}

/// Puts a group on its stream as soon as its peers are there: now, or when the communicator is asked how it is.
ncclResult_t begin(ncclComm& comm, std::vector<int> peers, std::function<void()> put)
{
    auto& c = *comm.ranks;
    std::unique_lock lock(c.mutex);
    comm.called = std::move(peers);
    for (const int peer : comm.called)
        c.calling.insert({comm.rank, peer});
    c.changed.notify_all();
    if (comm.blocks) {
        c.changed.wait(lock, [&] { return in_touch(comm); });
        lock.unlock();
        put();
        return ncclSuccess;
    }
    comm.begun = std::move(put);
    comm.delay = simulated::nccl_delay;
    return ncclInProgress;
}

/// A group of this thread.
struct {
    int depth = 0;
    std::shared_ptr<ncclComm> comm;
    cudaStream_t stream = nullptr;
    std::vector<message> messages;
} thread_local group;

ncclResult_t add(ncclComm_t handle, cudaStream_t stream, const message& m)
{
    auto comm = usable(handle);
    const bool fits = group.depth > 0 && (group.messages.empty() || (group.comm == comm && group.stream == stream));
    if (!comm || !fits || m.peer < 0 || m.peer >= comm->ranks->size || (m.data == nullptr && m.bytes > 0))
        return misuse(ncclInvalidArgument);
    group.comm = std::move(comm);
    group.stream = stream;
    group.messages.push_back(m);
    return ncclSuccess;
}

} // namespace

void simulated::fail(ncclComm_t communicator, ncclResult_t code)
{
    const auto comm = find(communicator);
    const std::lock_guard lock(comm->ranks->mutex);
    comm->failure = code;
}

const char* ncclGetErrorString(ncclResult_t code)
{
    return code == ncclRemoteError ? "remote error" : code == ncclInvalidArgument ? "invalid argument" : "some error";
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id)
{
    const std::lock_guard lock(all.mutex);
    *id = {};
    ++all.ids;
    std::memcpy(id->internal, &all.ids, sizeof all.ids);
    return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* handle, int size, ncclUniqueId id, int rank, ncclConfig_t* config)
{
    if (rank < 0 || rank >= size)
        return ncclInvalidArgument;
    auto comm = std::make_shared<ncclComm>();
    comm->rank = rank;
    comm->device = simulated::current_device;
    comm->blocks = config->blocking != 0;
    comm->delay = comm->blocks ? 0 : simulated::nccl_delay.load();
    {
        const std::lock_guard lock(all.mutex);
        auto& ranks = all.cliques[std::string(id.internal, sizeof id.internal)];
        if (!ranks)
            ranks = std::make_shared<clique>();
        comm->ranks = ranks;
        all.communicators.emplace(comm.get(), comm);
    }
    ++simulated::nccl.made;
    ++simulated::nccl.alive;
    *handle = comm.get();
    auto& c = *comm->ranks;
    std::unique_lock lock(c.mutex);
    c.size = size;
    if (!c.arrived.insert(rank).second)
        return misuse(ncclInvalidUsage);
    c.changed.notify_all();
    if (!comm->blocks)
        return ncclInProgress;
    c.changed.wait(lock, [&] { return c.arrived.size() == static_cast<std::size_t>(size); });
    comm->introduced = true;
    return ncclSuccess;
}
ncclResult_t ncclCommFinalize(ncclComm_t handle)
{
    const auto comm = usable(handle);
    if (!comm)
        return misuse(ncclInvalidArgument);
    if (!comm->blocks) {
        comm->finalizing = true;
        return begin(*comm, {}, [] {});
    }
    std::unique_lock lock(comm->ranks->mutex);
    comm->ranks->changed.wait(lock, [&] { return comm->captured == 0; });
    return ncclSuccess;
}
ncclResult_t ncclCommDestroy(ncclComm_t handle)
{
    const auto comm = take(handle);
    if (!comm)
        return misuse(ncclInvalidArgument);
    --simulated::nccl.alive;
    const std::lock_guard lock(comm->ranks->mutex);
    comm->destroyed = true;
    return comm->running > 0 ? misuse(ncclInvalidUsage) : ncclSuccess;
}
ncclResult_t ncclCommAbort(ncclComm_t handle)
{
    const auto comm = take(handle);
    if (!comm)
        return misuse(ncclInvalidArgument);
    comm->begun = nullptr;
    std::unique_lock lock(comm->ranks->mutex);
    comm->aborted = true;
    comm->ranks->changed.notify_all();
    comm->ranks->changed.wait(lock, [&] { return comm->running == 0 && comm->captured == 0; });
    --simulated::nccl.alive;
    return ncclSuccess;
}
ncclResult_t ncclCommGetAsyncError(ncclComm_t handle, ncclResult_t* code)
{
    const auto comm = find(handle);
    if (!comm)
        return misuse(ncclInvalidArgument);
    std::unique_lock lock(comm->ranks->mutex);
    const bool all_here = comm->ranks->arrived.size() == static_cast<std::size_t>(comm->ranks->size);
    const bool ready = all_here && (!comm->begun || in_touch(*comm)) && (!comm->finalizing || comm->captured == 0);
    if (comm->failure != ncclSuccess)
        *code = comm->failure;
    else if (!ready || comm->delay > 0) {
        comm->delay -= ready ? 1 : 0;
        *code = ncclInProgress;
    } else {
        lock.unlock();
        comm->introduced = true;
        if (comm->begun)
            std::exchange(comm->begun, nullptr)();
        *code = ncclSuccess;
    }
    return ncclSuccess;
}
ncclResult_t ncclCommCount(const ncclComm_t handle, int* count)
{
    const auto comm = usable(handle);
    if (!comm)
        return misuse(ncclInvalidArgument);
    *count = comm->ranks->size;
    return ncclSuccess;
}
ncclResult_t ncclCommUserRank(const ncclComm_t handle, int* rank)
{
    const auto comm = usable(handle);
    if (!comm)
        return misuse(ncclInvalidArgument);
    *rank = comm->rank;
    return ncclSuccess;
}

ncclResult_t ncclGroupStart()
{
    ++group.depth;
    return ncclSuccess;
}
ncclResult_t ncclGroupEnd()
{
    if (--group.depth > 0)
        return ncclSuccess;
    const auto comm = std::exchange(group.comm, nullptr);
    const auto messages = std::exchange(group.messages, {});
    if (!comm)
        return ncclSuccess;
    ++simulated::nccl.groups;
    std::vector<int> peers;
    for (const auto& m : messages) {
        peers.push_back(m.peer);
        ++simulated::nccl.messages;
        if (m.sends)
            simulated::nccl.sent[static_cast<std::size_t>(comm->rank)] += m.bytes;
    }
    return begin(*comm, peers, [=, stream = group.stream] {
        simulated::stream_of(stream).put([=, held = held_by_graph(comm, stream)] { simulated::run_messages(*comm, messages); });
    });
}
ncclResult_t ncclSend(const void* data, std::size_t count, ncclDataType_t type, int peer, ncclComm_t handle, cudaStream_t stream)
{
    return type == ncclInt8 ? add(handle, stream, {true, peer, const_cast<void*>(data), count}) : misuse(ncclInvalidArgument);
}
ncclResult_t ncclRecv(void* data, std::size_t count, ncclDataType_t type, int peer, ncclComm_t handle, cudaStream_t stream)
{
    return type == ncclInt8 ? add(handle, stream, {false, peer, data, count}) : misuse(ncclInvalidArgument);
}
ncclResult_t ncclAllReduce(
    const void* from, void* to, std::size_t count, ncclDataType_t type, ncclRedOp_t how, ncclComm_t handle, cudaStream_t stream)
{
    const auto comm = usable(handle);
    if (!comm || from != to || how != ncclSum || group.depth > 0)
        return misuse(ncclInvalidArgument);
    ++simulated::nccl.all_reduces;
    std::vector<int> all_ranks;
    for (int rank = 0; rank < comm->ranks->size; ++rank)
        all_ranks.push_back(rank);
    return begin(*comm, all_ranks, [=] {
        simulated::stream_of(stream).put(
            [=, held = held_by_graph(comm, stream)] { simulated::run_all_reduce(*comm, to, count, type); });
    });
}
