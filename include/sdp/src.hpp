// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Holds the library's definitions for a program that defines `SDP_SEPARATE_COMPILATION`: one unit of it includes this
/// header. The CMake target `sdp::compiled` is a static library of that unit, and defines the macro for every target that links
/// it.

#ifndef SDP_SEPARATE_COMPILATION
#error sdp/src.hpp was included, but SDP_SEPARATE_COMPILATION is not defined; define it for the whole program, or include no sdp/src.hpp
#endif

#include <sdp/sdp.hpp>

#include <sdp/src/comm/detail/exchange_check.ipp>
#include <sdp/src/comm/detail/thread_batch.ipp>
#include <sdp/src/comm/detail/thread_fabric.ipp>
#include <sdp/src/comm/detail/thread_memory.ipp>
#include <sdp/src/detail/exchange/bound_tensors.ipp>
#include <sdp/src/detail/exchange/bucket.ipp>
#include <sdp/src/detail/exchange/bucket_buffers.ipp>
#include <sdp/src/detail/exchange/bucket_layout.ipp>
#include <sdp/src/detail/exchange/owned_shard.ipp>
#include <sdp/src/detail/exchange/peer_table.ipp>
#include <sdp/src/detail/exchange/routes.ipp>
#include <sdp/src/detail/exchange/step_weights.ipp>
#include <sdp/src/detail/host/bucket_passes.ipp>
#include <sdp/src/detail/host/segment_layout.ipp>
#include <sdp/src/detail/host/value_exchange.ipp>
#include <sdp/src/detail/step/agreement_text.ipp>
#include <sdp/src/detail/step/assembly.ipp>
#include <sdp/src/detail/step/progress_thread.ipp>
#include <sdp/src/detail/step/readiness.ipp>
#include <sdp/src/diagnostics.ipp>
#include <sdp/src/error.ipp>
#include <sdp/src/masking/residency.ipp>
#include <sdp/src/model.ipp>
#include <sdp/src/overlap/make_plan.ipp>
#include <sdp/src/partition/assignment.ipp>
#include <sdp/src/partition/block.ipp>
#include <sdp/src/partition/connectivity.ipp>
#include <sdp/src/partition/nested.ipp>
#include <sdp/src/partition/neuron.ipp>
#include <sdp/src/slab.ipp>
#include <sdp/src/subnetwork.ipp>
