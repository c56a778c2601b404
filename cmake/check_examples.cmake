# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# cmake -P check_examples.cmake <folder>
#
# Examples show what a user writes, so none may use the machinery of the library: neither the namespace sdp::detail nor a
# header of a folder detail/.

cmake_minimum_required(VERSION 3.25)

math(EXPR last "${CMAKE_ARGC} - 1")
set(root "${CMAKE_ARGV${last}}")
file(GLOB_RECURSE sources RELATIVE "${root}" "${root}/*.cpp" "${root}/*.hpp" "${root}/*.cu")
if(NOT sources)
  message(FATAL_ERROR "${root} has no sources; expected the folder of the examples")
endif()
set(found)
foreach(source IN LISTS sources)
  file(STRINGS "${root}/${source}" lines REGEX "sdp::detail|[<\"]sdp/([a-z_]+/)?detail/")
  list(LENGTH lines count)
  if(count GREATER 0)
    list(GET lines 0 line)
    string(STRIP "${line}" line)
    string(APPEND found "\n  ${source}: ${line}")
  endif()
endforeach()
if(found)
  message(FATAL_ERROR "sdp::detail is no interface, but examples use it; expected what the public headers offer, or a function of "
    "the example's own:${found}")
endif()
