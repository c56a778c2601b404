// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief State that the ranks of a simulated NCCL share, and work on their streams: messages that wait for their other side,
/// sums that wait for all.

#include "nccl.hpp"

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

namespace simulated {

using rank_pair = std::pair<int, int>; ///< from and to

/// One side of a message that waits for the other.
struct posted {
    const ncclComm* owner;
    void* data;
    std::size_t bytes;
    std::shared_ptr<std::size_t> left; ///< of the owner's group
};

struct reduction {
    std::map<int, void*> data; ///< by rank
    std::size_t left = 0; ///< ranks that have not seen the sum
    bool done = false;
};

/// State that the ranks of one id share.
struct clique {
    std::mutex mutex;
    std::condition_variable changed;
    int size = 0;
    std::set<int> arrived;
    std::set<rank_pair> calling; ///< who has begun to get in touch with whom
    std::map<rank_pair, std::deque<posted>> sends, receives;
    std::map<std::uint64_t, reduction> reductions;
};

struct message {
    bool sends;
    int peer;
    void* data;
    std::size_t bytes;
};

} // namespace simulated

struct ncclComm {
    std::shared_ptr<simulated::clique> ranks;
    int rank = 0, device = 0;
    bool blocks = true;
    // Of the one thread that may call.
    std::function<void()> begun; ///< a group that is not on the stream yet
    std::vector<int> called; ///< whom that waits for
    bool introduced = false, finalizing = false;
    int delay = 0;
    // Under the ranks' lock.
    ncclResult_t failure = ncclSuccess;
    bool aborted = false, destroyed = false;
    int running = 0; ///< groups on streams, now
    int captured = 0; ///< groups that graphs have captured
    std::uint64_t reductions = 0;
};

namespace simulated {

/// Counts a call that NCCL does not allow, and refuses it.
inline ncclResult_t misuse(ncclResult_t code)
{
    ++nccl.misused;
    return code;
}

/// On a stream.
void run_messages(ncclComm& comm, const std::vector<message>& messages);
/// On a stream.
void run_all_reduce(ncclComm& comm, void* data, std::size_t count, ncclDataType_t type);

} // namespace simulated
