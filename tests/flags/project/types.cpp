// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "error_types.hpp"
#include "training.hpp"

const std::type_info& type_in_library(std::size_t number)
{
#define TYPE(type) &typeid(type),
    static const std::type_info* const types[] = {ERROR_TYPES(TYPE)};
    return *types[number];
}
