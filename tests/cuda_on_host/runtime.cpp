// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime.hpp"

#include <support/stream_communicator.hpp>

#include <sdp/cuda/launch.hpp>

#include <cuda_runtime_api.h>

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

namespace {

/// Something that streams and the host wait for.
class moment {
public:
    void come()
    {
        {
            const std::lock_guard lock(mutex_);
            here_ = true;
        }
        changed_.notify_all();
    }
    void wait()
    {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return here_; });
    }
    [[nodiscard]] bool is_here()
    {
        const std::lock_guard lock(mutex_);
        return here_;
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool here_ = false;
};

} // namespace

/// Does what it is given in order, and not at once.
struct CUstream_st {
    void put(std::function<void()> work)
    {
        {
            const std::lock_guard lock(mutex_);
            work_.push_back(std::move(work));
        }
        changed_.notify_one();
    }
    [[nodiscard]] std::shared_ptr<moment> mark()
    {
        auto out = std::make_shared<moment>();
        put([out] { out->come(); });
        return out;
    }

private:
    void run(const std::stop_token& stop)
    {
        for (unsigned number = 0;; ++number) {
            std::function<void()> next;
            {
                std::unique_lock lock(mutex_);
                if (!changed_.wait(lock, stop, [&] { return !work_.empty(); }))
                    return; // what it was given is done
                next = std::move(work_.front());
                work_.pop_front();
            }
            if (number * 2654435761U % 16 == 0)
                std::this_thread::sleep_for(std::chrono::microseconds(30));
            next();
        }
    }

    std::mutex mutex_;
    std::condition_variable_any changed_;
    std::deque<std::function<void()>> work_;
    std::jthread thread_ {[this](const std::stop_token& stop) { run(stop); }};
};

struct CUevent_st {
    std::shared_ptr<moment> latest; ///< of the last time that it was recorded; none before
};

namespace {

struct machine {
    std::mutex mutex;
    std::vector<std::shared_ptr<CUstream_st>> streams;
    std::set<std::pair<int, int>> peers;
    std::shared_ptr<CUstream_st> standard = std::make_shared<CUstream_st>();
};
machine& the_machine()
{
    static machine out;
    return out;
}

CUstream_st& stream_of(cudaStream_t stream)
{
    return stream == nullptr ? *the_machine().standard : *stream;
}

} // namespace

std::set<std::pair<int, int>> simulated::enabled_peers()
{
    const std::lock_guard lock(the_machine().mutex);
    return the_machine().peers;
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
cudaError_t cudaDeviceCanAccessPeer(int* can, int from, int to)
{
    *can = simulated::peers_reach && from != to ? 1 : 0;
    return cudaSuccess;
}
cudaError_t cudaDeviceEnablePeerAccess(int to, unsigned)
{
    const std::lock_guard lock(the_machine().mutex);
    return the_machine().peers.emplace(simulated::current_device, to).second ? cudaSuccess : cudaErrorPeerAccessAlreadyEnabled;
}
cudaError_t cudaDeviceSynchronize()
{
    std::vector<std::shared_ptr<CUstream_st>> streams;
    {
        const std::lock_guard lock(the_machine().mutex);
        streams = the_machine().streams;
    }
    streams.push_back(the_machine().standard);
    for (const auto& stream : streams)
        stream->mark()->wait();
    return cudaSuccess;
}
cudaError_t cudaGetLastError()
{
    return cudaSuccess;
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
    the_machine().streams.push_back(std::move(made));
    return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    std::shared_ptr<CUstream_st> gone; // after the lock
    const std::lock_guard lock(the_machine().mutex);
    for (auto& each : the_machine().streams)
        if (each.get() == stream)
            gone = std::move(each);
    std::erase(the_machine().streams, nullptr);
    return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    stream_of(stream).mark()->wait();
    return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned)
{
    if (event->latest)
        stream_of(stream).put([latest = event->latest] { latest->wait(); });
    return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t, cudaStreamCaptureStatus* status)
{
    *status = cudaStreamCaptureStatusNone;
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
    event->latest = stream_of(stream).mark();
    return cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t event)
{
    return !event->latest || event->latest->is_here() ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    if (event->latest)
        event->latest->wait();
    return cudaSuccess;
}

cudaError_t cudaMalloc(void** data, std::size_t bytes)
{
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
    cudaDeviceSynchronize();
    ::operator delete (data, std::align_val_t {256});
    return cudaSuccess;
}
cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind)
{
    std::memcpy(to, from, bytes);
    return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream)
{
    if (kind == cudaMemcpyHostToDevice) {
        const auto* const first = static_cast<const std::byte*>(from);
        stream_of(stream).put([to, copy = std::vector(first, first + bytes)] { std::memcpy(to, copy.data(), copy.size()); });
    } else {
        stream_of(stream).put([=] { std::memcpy(to, from, bytes); });
    }
    return cudaSuccess;
}

void sdp::cuda::run_tiles(
    tile_phase phase, const detail::tile_job& job, element_type type, element_type wire, cudaStream_t stream)
{
    if (job.count > 0)
        stream_of(stream).put([=] { support::host_executor::run(phase, job, type, wire); });
}
