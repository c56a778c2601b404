# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# cmake -DEXPECT_ERROR=<regex> -P run_expecting.cmake -- <command...>
#
# With -DWITHIN_LINES=<n> the words have to be in the first n lines.
#
# Runs the command. With an empty EXPECT_ERROR it has to succeed; otherwise it has to fail *and* say so in words that
# match: a test that accepts any failure would go on passing when the command fails for another reason.

cmake_minimum_required(VERSION 3.25)

set(command)
set(after_dashes FALSE)
math(EXPR last "${CMAKE_ARGC} - 1")
foreach(i RANGE ${last})
  if(after_dashes)
    list(APPEND command "${CMAKE_ARGV${i}}")
  elseif(CMAKE_ARGV${i} STREQUAL "--")
    set(after_dashes TRUE)
  endif()
endforeach()

# A diagnostic in another language, or with typographic quotes, would not match.
set(ENV{LC_ALL} C)
execute_process(COMMAND ${command} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
message("${output}")

if(EXPECT_ERROR STREQUAL "")
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "the command failed (${status}); it was expected to succeed")
  endif()
  return()
endif()

if(status EQUAL 0)
  message(FATAL_ERROR "the command succeeded; it was expected to fail with: ${EXPECT_ERROR}")
endif()
if(WITHIN_LINES)
  string(REPLACE ";" "," output "${output}")
  string(REPLACE "\n" ";" lines "${output}")
  list(SUBLIST lines 0 ${WITHIN_LINES} lines)
  list(JOIN lines "\n" output)
endif()
# CMake wraps the lines of its messages, so a sentence may have a line break wherever it has a space.
string(REGEX REPLACE "[ \n]+" " " output "${output}")
if(NOT output MATCHES "${EXPECT_ERROR}")
  message(FATAL_ERROR "the command failed, but its output does not match: ${EXPECT_ERROR}")
endif()
