# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Installs BUILD into STAGE, moves the result to PREFIX, and checks that no file tells where it was made, and that it is the
# same as the tree SAME_AS, if there is one.

cmake_minimum_required(VERSION 3.25)

file(REMOVE_RECURSE "${STAGE}" "${PREFIX}")
execute_process(COMMAND ${CMAKE_COMMAND} --install "${BUILD}" --prefix "${STAGE}" --config "${CONFIG}" COMMAND_ERROR_IS_FATAL ANY)
file(RENAME "${STAGE}" "${PREFIX}")

file(GLOB_RECURSE files "${PREFIX}/*.cmake" "${PREFIX}/*.pc")
if(NOT files)
  message(FATAL_ERROR "no package files were installed under ${PREFIX}")
endif()
foreach(file IN LISTS files)
  file(READ "${file}" text)
  # Only folders are looked for that cannot occur by chance.
  foreach(path IN ITEMS "${STAGE}" "${BUILD}" "${SOURCE}/include" /usr/lib)
    string(FIND "${text}" "${path}" at)
    if(NOT at EQUAL -1)
      message(FATAL_ERROR "${file} names ${path}, so the installed tree cannot be moved")
    endif()
  endforeach()
endforeach()

if(SAME_AS)
  execute_process(COMMAND diff -r "${SAME_AS}" "${PREFIX}" COMMAND_ERROR_IS_FATAL ANY)
endif()
