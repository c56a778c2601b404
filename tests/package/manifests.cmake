# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# cmake -DSOURCE=<project folder> -DVERSION=<version> -P manifests.cmake
#
# vcpkg's two manifests state what CMakeLists.txt and version.hpp state, and the same as each other: the one at the root
# serves this project's own builds, the port's all others.

cmake_minimum_required(VERSION 3.25)

foreach(manifest IN ITEMS vcpkg.json cmake/vcpkg/ports/sdp/vcpkg.json)
  file(READ "${SOURCE}/${manifest}" text) # string(JSON) fails if it is none
  foreach(key IN ITEMS name version license description)
    string(JSON ${key} GET "${text}" ${key})
  endforeach()
  if(NOT name STREQUAL "sdp" OR NOT version STREQUAL VERSION)
    message(FATAL_ERROR "${manifest} is of ${name} ${version}; expected sdp ${VERSION}, as include/sdp/version.hpp states")
  endif()

  # One line per dependency and feature, in order.
  set(needs)
  string(JSON count LENGTH "${text}" dependencies)
  math(EXPR last "${count} - 1")
  foreach(i RANGE ${last})
    string(JSON type TYPE "${text}" dependencies ${i})
    if(type STREQUAL "STRING")
      string(JSON dependency GET "${text}" dependencies ${i})
      list(APPEND needs ${dependency})
    else() # only tools of the packer are objects
      string(JSON dependency GET "${text}" dependencies ${i} name)
      string(JSON host GET "${text}" dependencies ${i} host)
      if(NOT host OR NOT dependency MATCHES "^vcpkg-")
        message(FATAL_ERROR "${manifest}: the dependency ${dependency} is an object, but not a tool of vcpkg's for the host")
      endif()
    endif()
  endforeach()
  string(JSON count LENGTH "${text}" features)
  math(EXPR last "${count} - 1")
  foreach(i RANGE ${last})
    string(JSON feature MEMBER "${text}" features ${i})
    string(JSON words GET "${text}" features ${feature} description)
    string(JSON list GET "${text}" features ${feature} dependencies)
    if(NOT feature MATCHES "^(tests|benchmarks)$") # which a port has not
      string(REGEX REPLACE "[ \n]" "" list "${list}")
      list(APPEND needs "${feature}:${list}")
    endif()
  endforeach()
  if(DEFINED previous AND NOT needs STREQUAL previous)
    message(FATAL_ERROR "${manifest} needs ${needs}; expected what vcpkg.json needs: ${previous}")
  endif()
  set(previous "${needs}")
  message("${manifest}: ${name} ${version}, ${needs}")
endforeach()

file(READ "${SOURCE}/conanfile.py" recipe)
if(recipe MATCHES "\n    version *=")
  message(FATAL_ERROR "conanfile.py states a version; it has to read include/sdp/version.hpp")
endif()
