// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "batched_copy.hpp"

#include <cub/device/device_memcpy.cuh>

namespace tile_bench {

namespace {

    template <class T, class Get>
    std::byte* upload(sdp::cuda::pool& pool, const std::vector<batched_copy::stretch>& list, Get get)
    {
        std::vector<T> values;
        for (const auto& s : list)
            values.push_back(get(s));
        std::byte* const out = pool.take(values.size() * sizeof(T));
        sdp::cuda::check_call(cudaMemcpy(out, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice), "cudaMemcpy");
        return out;
    }

} // namespace

batched_copy::batched_copy(const std::vector<stretch>& stretches)
    : count_(stretches.size())
    , from_(upload<const std::byte*>(pool_, stretches, [](const stretch& s) { return s.from; }))
    , to_(upload<std::byte*>(pool_, stretches, [](const stretch& s) { return s.to; }))
    , sizes_(upload<std::size_t>(pool_, stretches, [](const stretch& s) { return s.bytes; }))
{
    sdp::cuda::check_call(
        cub::DeviceMemcpy::Batched(nullptr, scratch_bytes_, reinterpret_cast<const std::byte**>(from_),
            reinterpret_cast<std::byte**>(to_), reinterpret_cast<std::size_t*>(sizes_), static_cast<unsigned>(count_)),
        "cub::DeviceMemcpy::Batched");
    scratch_ = pool_.take(scratch_bytes_);
    sdp::cuda::check_call(cudaDeviceSynchronize(), "cudaDeviceSynchronize"); // copies from pageable memory may go on
}

void batched_copy::operator()(cudaStream_t stream)
{
    sdp::cuda::check_call(
        cub::DeviceMemcpy::Batched(scratch_, scratch_bytes_, reinterpret_cast<const std::byte**>(from_),
            reinterpret_cast<std::byte**>(to_), reinterpret_cast<std::size_t*>(sizes_), static_cast<unsigned>(count_), stream),
        "cub::DeviceMemcpy::Batched");
}

} // namespace tile_bench
