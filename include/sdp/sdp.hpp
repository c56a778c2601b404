// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Includes everything but back ends (`comm/mpi.hpp`, `comm/nccl.hpp`, `comm/cuda_threads.hpp`), adapters
/// (`adapters/torch.hpp`) and the engine for streams (`stream.hpp`).

#include <sdp/comm/communicator.hpp>
#include <sdp/comm/fit_route_costs.hpp>
#include <sdp/comm/route_costs.hpp>
#include <sdp/comm/threads.hpp>
#include <sdp/data_parallel.hpp>
#include <sdp/diagnostics.hpp>
#include <sdp/error.hpp>
#include <sdp/masking/backward.hpp>
#include <sdp/masking/forward.hpp>
#include <sdp/model.hpp>
#include <sdp/partition/block.hpp>
#include <sdp/partition/nested.hpp>
#include <sdp/partition/neuron.hpp>
#include <sdp/partition/policy.hpp>
#include <sdp/random.hpp>
#include <sdp/subnetwork.hpp>
#include <sdp/synchronizer_options.hpp>
#include <sdp/tensor.hpp>
#include <sdp/traffic.hpp>
#include <sdp/version.hpp>
