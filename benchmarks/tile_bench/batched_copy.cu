// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "batched_copy.hpp"

#include <cub/device/device_memcpy.cuh>

namespace tile_bench {

namespace {

    template <class T, class Get> sdp::cuda::memory upload(const std::vector<batched_copy::stretch>& list, Get get)
    {
        std::vector<T> values;
        for (const auto& s : list)
            values.push_back(get(s));
        sdp::cuda::memory out(values.size() * sizeof(T));
        sdp::cuda::check(cudaMemcpy(out.get(), values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice), "cudaMemcpy");
        return out;
    }

} // namespace

batched_copy::batched_copy(const std::vector<stretch>& stretches)
    : count_(stretches.size())
    , from_(upload<const std::byte*>(stretches, [](const stretch& s) { return s.from; }))
    , to_(upload<std::byte*>(stretches, [](const stretch& s) { return s.to; }))
    , sizes_(upload<std::size_t>(stretches, [](const stretch& s) { return s.bytes; }))
{
    sdp::cuda::check(cub::DeviceMemcpy::Batched(nullptr, scratch_bytes_, reinterpret_cast<const std::byte**>(from_.get()),
                         reinterpret_cast<std::byte**>(to_.get()), reinterpret_cast<std::size_t*>(sizes_.get()),
                         static_cast<unsigned>(count_)),
        "cub::DeviceMemcpy::Batched");
    scratch_ = sdp::cuda::memory(scratch_bytes_);
}

void batched_copy::operator()(cudaStream_t stream)
{
    sdp::cuda::check(cub::DeviceMemcpy::Batched(scratch_.get(), scratch_bytes_, reinterpret_cast<const std::byte**>(from_.get()),
                         reinterpret_cast<std::byte**>(to_.get()), reinterpret_cast<std::size_t*>(sizes_.get()),
                         static_cast<unsigned>(count_), stream),
        "cub::DeviceMemcpy::Batched");
}

} // namespace tile_bench
