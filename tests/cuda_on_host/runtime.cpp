// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime.hpp"

#include "streams.hpp"

#include <support/stream_communicator.hpp>

#include <sdp/cuda/launch.hpp>

#include <cstring>
#include <map>
#include <new>

namespace {

using simulated::own_capture;

struct machine {
    std::mutex mutex;
    std::vector<std::pair<int, std::shared_ptr<CUstream_st>>> streams; ///< with their devices
    std::map<int, std::shared_ptr<CUstream_st>> standard; ///< of each device
    std::set<std::pair<int, int>> peers;
};
machine& the_machine()
{
    static machine out;
    return out;
}

thread_local cudaError_t latest_error = cudaSuccess;

cudaError_t told(cudaError_t code)
{
    if (code != cudaSuccess)
        latest_error = code;
    return code;
}

/// Invalidates the thread's capture after a call that a capturing thread must not make.
cudaError_t spoil(cudaError_t code)
{
    own_capture->spoilt = true;
    return told(code);
}

void leave_capture(simulated::capture& c)
{
    c.ended = true;
    for (auto* const stream : c.streams) {
        stream->captured.reset();
        stream->last.clear();
    }
    own_capture.reset();
}

} // namespace

std::set<std::pair<int, int>> simulated::enabled_peers()
{
    const std::lock_guard lock(the_machine().mutex);
    return the_machine().peers;
}

CUstream_st& simulated::stream_of(cudaStream_t stream)
{
    if (stream != nullptr)
        return *stream;
    const std::lock_guard lock(the_machine().mutex);
    auto& standard = the_machine().standard[current_device];
    if (!standard)
        standard = std::make_shared<CUstream_st>();
    return *standard;
}

cudaError_t cudaGetDeviceCount(int* count)
{
    *count = simulated::devices;
    return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device)
{
    *device = simulated::current_device;
    return cudaSuccess;
}
cudaError_t cudaSetDevice(int device)
{
    if (device < 0 || device >= simulated::devices)
        return told(cudaErrorInvalidDevice);
    simulated::current_device = device;
    return cudaSuccess;
}
cudaError_t cudaDeviceCanAccessPeer(int* can, int from, int to)
{
    *can = simulated::peers_reach && from != to ? 1 : 0;
    return cudaSuccess;
}
cudaError_t cudaDeviceEnablePeerAccess(int to, unsigned)
{
    const std::lock_guard lock(the_machine().mutex);
    const bool fresh = the_machine().peers.emplace(simulated::current_device, to).second;
    return told(fresh ? cudaSuccess : cudaErrorPeerAccessAlreadyEnabled);
}
cudaError_t cudaDeviceSynchronize()
{
    if (own_capture)
        return spoil(cudaErrorStreamCaptureUnsupported);
    std::vector<std::shared_ptr<CUstream_st>> streams;
    {
        const std::lock_guard lock(the_machine().mutex);
        for (const auto& [device, stream] : the_machine().streams)
            if (device == simulated::current_device)
                streams.push_back(stream);
    }
    for (const auto& stream : streams)
        stream->mark()->wait();
    simulated::stream_of(nullptr).mark()->wait();
    return cudaSuccess;
}
cudaError_t cudaGetLastError()
{
    return std::exchange(latest_error, cudaSuccess);
}
const char* cudaGetErrorString(cudaError_t)
{
    return "simulated";
}
const char* cudaGetErrorName(cudaError_t)
{
    return "simulated";
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned)
{
    auto made = std::make_shared<CUstream_st>();
    *stream = made.get();
    const std::lock_guard lock(the_machine().mutex);
    the_machine().streams.emplace_back(simulated::current_device, std::move(made));
    return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    std::shared_ptr<CUstream_st> gone; // after the lock
    const std::lock_guard lock(the_machine().mutex);
    std::erase_if(the_machine().streams, [&](auto& each) {
        if (each.second.get() != stream)
            return false;
        gone = std::move(each.second);
        return true;
    });
    return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    if (own_capture)
        return spoil(cudaErrorStreamCaptureUnsupported);
    simulated::stream_of(stream).mark()->wait();
    return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned)
{
    auto& waits = simulated::stream_of(stream);
    if (event->captured) {
        if (event->captured->ended)
            return told(cudaErrorCapturedEvent);
        if (waits.captured && waits.captured != event->captured)
            return spoil(cudaErrorStreamCaptureMerge);
        if (!waits.captured) {
            waits.captured = event->captured;
            waits.captured->streams.push_back(&waits);
        }
        for (const auto node : event->nodes)
            if (std::find(waits.last.begin(), waits.last.end(), node) == waits.last.end())
                waits.last.push_back(node);
    } else if (event->latest) {
        if (waits.captured)
            return spoil(cudaErrorStreamCaptureIsolation); // a replay could not wait for that
        waits.put([latest = event->latest] { latest->wait(); });
    }
    return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode)
{
    if (stream == nullptr || own_capture || stream->captured)
        return told(cudaErrorStreamCaptureUnsupported);
    own_capture = std::make_shared<simulated::capture>();
    own_capture->origin = stream;
    own_capture->streams.push_back(stream);
    stream->captured = own_capture;
    return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status)
{
    if (stream == nullptr && own_capture)
        return spoil(cudaErrorStreamCaptureImplicit);
    *status = stream == nullptr || !stream->captured ? cudaStreamCaptureStatusNone
        : stream->captured->spoilt                   ? cudaStreamCaptureStatusInvalidated
                                                     : cudaStreamCaptureStatusActive;
    return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph)
{
    *graph = nullptr;
    const auto ended = own_capture;
    if (!ended || ended->origin != stream)
        return told(cudaErrorIllegalState);
    const bool joined = ended->graph.all_before(stream->last);
    leave_capture(*ended);
    if (ended->spoilt)
        return told(cudaErrorStreamCaptureInvalidated);
    if (!joined)
        return told(cudaErrorStreamCaptureUnjoined);
    *graph = new CUgraph_st {std::make_shared<const simulated::captured_graph>(std::move(ended->graph))};
    return cudaSuccess;
}
cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long)
{
    *exec = new CUgraphExec_st {graph->graph};
    return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
    simulated::stream_of(stream).put([graph = exec->graph] { graph->run(); });
    return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    delete graph;
    return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    delete exec;
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned)
{
    *event = new CUevent_st;
    return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    delete event;
    return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    auto& at = simulated::stream_of(stream);
    event->captured = at.captured;
    event->nodes = at.last;
    event->latest = at.captured ? nullptr : at.mark();
    return cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t event)
{
    if (own_capture)
        return spoil(cudaErrorStreamCaptureUnsupported);
    if (event->captured)
        return told(cudaErrorCapturedEvent);
    return told(!event->latest || event->latest->is_here() ? cudaSuccess : cudaErrorNotReady);
}
cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    if (own_capture)
        return spoil(cudaErrorStreamCaptureUnsupported);
    if (event->captured)
        return told(cudaErrorCapturedEvent);
    if (event->latest)
        event->latest->wait();
    return cudaSuccess;
}

cudaError_t cudaMalloc(void** data, std::size_t bytes)
{
    if (own_capture)
        return spoil(cudaErrorStreamCaptureUnsupported);
    *data = ::operator new (bytes, std::align_val_t {256});
    std::memset(*data, 0xFF, bytes); // a NaN of any type
    return cudaSuccess;
}
cudaError_t cudaMallocManaged(void** data, std::size_t bytes, unsigned)
{
    return cudaMalloc(data, bytes);
}
cudaError_t cudaFree(void* data)
{
    if (own_capture)
        return spoil(cudaErrorStreamCaptureUnsupported);
    cudaDeviceSynchronize();
    ::operator delete (data, std::align_val_t {256});
    return cudaSuccess;
}
cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind)
{
    if (own_capture)
        return spoil(cudaErrorStreamCaptureImplicit);
    return cudaMemcpyAsync(to, from, bytes, kind, nullptr);
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream)
{
    auto& at = simulated::stream_of(stream);
    if (kind != cudaMemcpyHostToDevice) {
        at.put([=] { std::memcpy(to, from, bytes); });
        if (kind == cudaMemcpyDeviceToHost && !at.captured)
            at.mark()->wait(); // all memory of the host is pageable here
        return cudaSuccess;
    }
    if (at.captured)
        return spoil(cudaErrorStreamCaptureUnsupported); // a replay would read what may have gone
    const auto* const first = static_cast<const std::byte*>(from);
    at.put([to, copy = std::vector(first, first + bytes)] { std::memcpy(to, copy.data(), copy.size()); });
    return cudaSuccess;
}

void sdp::cuda::run_tiles(tile_phase phase, const tiles::tile_job& job, element_type type, element_type wire, cudaStream_t stream)
{
    if (job.count > 0)
        simulated::stream_of(stream).put([=] { support::host_executor::run(phase, job, type, wire); });
}
