// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Streams that are threads, and captures of what they are given.

#include <cuda_runtime_api.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace simulated {

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

/// A capture: work, and the earlier work that each waits for.
struct captured_graph {
    struct node {
        std::function<void()> work;
        std::vector<std::size_t> after;
    };
    std::vector<node> nodes;

    /// One node after the other, in an order that what they wait for allows, as unlike that of the capture as can be.
    void run() const
    {
        std::vector<bool> done(nodes.size(), false);
        for (std::size_t left = nodes.size(); left > 0; --left)
            for (std::size_t i = nodes.size(); i-- > 0;) {
                const auto& after = nodes[i].after;
                if (done[i] || !std::all_of(after.begin(), after.end(), [&](std::size_t other) { return done[other]; }))
                    continue;
                nodes[i].work();
                done[i] = true;
                break;
            }
    }

    /// Returns true if waiting for `last` waits for all nodes, directly or through others.
    [[nodiscard]] bool all_before(const std::vector<std::size_t>& last) const
    {
        std::vector<bool> seen(nodes.size(), false);
        for (const auto i : last)
            seen[i] = true;
        for (std::size_t i = nodes.size(); i-- > 0;) // what is waited for came earlier
            if (seen[i])
                for (const auto other : nodes[i].after)
                    seen[other] = true;
        return std::all_of(seen.begin(), seen.end(), [](bool each) { return each; });
    }
};

/// A capture under way. Belongs to one thread.
struct capture {
    cudaStream_t origin = nullptr;
    captured_graph graph;
    bool spoilt = false, ended = false;
    std::vector<cudaStream_t> streams; ///< which have joined
};

/// That this thread has begun.
inline thread_local std::shared_ptr<capture> own_capture;

} // namespace simulated

/// Does what it is given in order, and not at once. While it is captured, it does nothing.
struct CUstream_st {
    void put(std::function<void()> work)
    {
        if (!captured) {
            put_now(std::move(work));
            return;
        }
        auto& nodes = captured->graph.nodes;
        nodes.push_back({std::move(work), last});
        last = {nodes.size() - 1};
    }
    /// Is there when all that it was given is done, but for what is captured.
    [[nodiscard]] std::shared_ptr<simulated::moment> mark()
    {
        auto out = std::make_shared<simulated::moment>();
        put_now([out] { out->come(); });
        return out;
    }

    std::shared_ptr<simulated::capture> captured;
    std::vector<std::size_t> last; ///< what its next work waits for, in the capture

private:
    void put_now(std::function<void()> work)
    {
        {
            const std::lock_guard lock(mutex_);
            work_.push_back(std::move(work));
        }
        changed_.notify_one();
    }
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
    std::shared_ptr<simulated::moment> latest; ///< of the last time that it was recorded; none before, and none in a capture
    std::shared_ptr<simulated::capture> captured; ///< that it was recorded in last
    std::vector<std::size_t> nodes; ///< behind which, there
};

struct CUgraph_st {
    std::shared_ptr<const simulated::captured_graph> graph;
};
struct CUgraphExec_st {
    std::shared_ptr<const simulated::captured_graph> graph;
};

namespace simulated {

/// The default stream is one that others do not wait for.
[[nodiscard]] CUstream_st& stream_of(cudaStream_t stream);

} // namespace simulated
