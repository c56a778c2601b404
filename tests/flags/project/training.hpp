// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <cstddef>
#include <typeinfo>

#pragma GCC visibility push(default) // the rest of the library is hidden

/// Two workers sum the gradients of the neurons that both hold. Returns the mean that worker 0 has, which is 1.5.
/// @throws sdp::error if the coverage gives no whole number of holders
double train(double coverage);

/// The workers assign the neurons differently. @throws sdp::error with the difference
void train_with_ranks_that_differ();

/// The types of ERROR_TYPES, as this library knows them.
const std::type_info& type_in_library(std::size_t number);

#pragma GCC visibility pop
