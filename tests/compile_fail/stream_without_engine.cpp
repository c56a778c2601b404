// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <sdp/comm/stream.hpp>
#include <sdp/comm/threads.hpp>
#include <sdp/synchronizer.hpp>

#ifndef SDP_WRONG
#include <sdp/stream.hpp>
#endif

/// Has the members of a communicator on a stream; the test only compiles it.
class on_a_stream : public sdp::thread_communicator {
public:
    struct executor_type {
        std::byte* allocate(std::size_t);
        void release(const std::byte*);
        void write(std::byte*, const void*, std::size_t);
        void read(void*, const std::byte*, std::size_t);
        void run(sdp::tile_phase, const sdp::tiles::tile_job&, sdp::element_type, sdp::element_type);
        void join_host();
        void release_to_host();
    };
    static constexpr sdp::memory_space space = sdp::memory_space::host;
    executor_type& executor();
    void exchange_on_stream(std::span<const sdp::outgoing>, std::span<const sdp::incoming>);
    void throw_if_failed();
    bool reaches(int) const = delete; // ranks share no memory
};

std::size_t size_of_step();

std::size_t size_of_step()
{
    return sizeof(sdp::synchronizer<on_a_stream>);
}
