// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Includes all headers that need only the standard library and range-v3. Back ends and adapters are separate headers:
/// comm/mpi.hpp, adapters/torch.hpp.

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
