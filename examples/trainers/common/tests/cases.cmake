# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Functions that the tests of whole trainers share. Expects TRAIN, DIRECTORY and MPIRUN, and `small`: the options of a small
# training, with `--steps`.

string(REPLACE "|" ";" MPIRUN "${MPIRUN}")
list(FIND small --steps at)
math(EXPR at "${at} + 1")
list(GET small ${at} small_steps)
if(DEFINED PARTITION)
  list(APPEND small --partition ${PARTITION} --masking ${MASKING})
endif()

function(must_run)
  execute_process(COMMAND ${ARGN} WORKING_DIRECTORY ${DIRECTORY} RESULT_VARIABLE code OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT code EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "status ${code} of: ${command}\n${output}")
  endif()
endfunction()

# must_have_all_steps(<trace> <lines>): puts its lines into the variable.
function(must_have_all_steps trace lines)
  file(STRINGS ${DIRECTORY}/${trace} found)
  list(LENGTH found count)
  if(NOT count EQUAL small_steps)
    message(FATAL_ERROR "${trace} has ${count} lines instead of one for each of ${small_steps} steps: ${found}")
  endif()
  set(${lines} "${found}" PARENT_SCOPE)
endfunction()

function(must_be_same a b)
  must_have_all_steps(${a} first)
  must_have_all_steps(${b} second)
  if(NOT first STREQUAL second)
    message(FATAL_ERROR "${a}: ${first} differs from ${b}: ${second}")
  endif()
endfunction()

# The same losses up to the order of additions: in the first digits.
function(must_be_near a b)
  must_have_all_steps(${a} first)
  must_have_all_steps(${b} second)
  foreach(x y IN ZIP_LISTS first second)
    string(REGEX MATCH "^[0-9]+ [0-9]\\.[0-9][0-9]" x "${x}")
    string(REGEX MATCH "^[0-9]+ [0-9]\\.[0-9][0-9]" y "${y}")
    if(NOT x STREQUAL y OR x STREQUAL "")
      message(FATAL_ERROR "${a} differs from ${b}: '${x}', '${y}'")
    endif()
  endforeach()
endfunction()

# check(<condition...>): names what did not hold.
macro(check)
  if(NOT (${ARGN}))
    set(condition ${ARGN})
    list(JOIN condition " " condition)
    message(FATAL_ERROR "does not hold: ${condition}")
  endif()
endmacro()

# must_fail(<code> <sentence> <options...>): with one line on the standard error output, under the program's name.
function(must_fail code sentence)
  cmake_path(GET TRAIN FILENAME name)
  execute_process(COMMAND ${TRAIN} ${ARGN} RESULT_VARIABLE got OUTPUT_QUIET ERROR_VARIABLE error)
  if(NOT got EQUAL code OR NOT error MATCHES "^${name}: [^\n]*${sentence}[^\n]*\n$")
    message(FATAL_ERROR "expected status ${code} and '${sentence}' of: ${ARGN}\nstatus ${got}: ${error}")
  endif()
endfunction()

# help_must_match(<expression>): the help text does, and nothing else is said.
function(help_must_match expression)
  execute_process(COMMAND ${TRAIN} --help RESULT_VARIABLE code OUTPUT_VARIABLE help ERROR_VARIABLE error)
  check(code EQUAL 0)
  string(LENGTH "${error}" noise)
  check(noise EQUAL 0)
  check(help MATCHES ${expression})
endfunction()

# must_be_alone_as_among_peers(<options...>): one rehearsed worker takes what it takes among its peers.
function(must_be_alone_as_among_peers)
  must_run(${TRAIN} ${small} ${ARGN} --eval-every 0 --summary all.json)
  must_run(${TRAIN} ${small} ${ARGN} --memory-only --rank 2 --summary alone.json)
  file(READ ${DIRECTORY}/all.json all)
  file(READ ${DIRECTORY}/alone.json alone)
  string(JSON workers LENGTH "${alone}" workers)
  check(workers EQUAL 1)
  foreach(key IN ITEMS rank held_parameters value_bytes gradient_bytes optimizer_bytes peak_bytes gradient_bytes_at_peak
      bytes_sent_per_step bytes_sent_formula)
    string(JSON a GET "${all}" workers 2 ${key})
    string(JSON b GET "${alone}" workers 0 ${key})
    check(a STREQUAL b)
  endforeach()
  foreach(key IN ITEMS value_bytes gradient_bytes optimizer_bytes peak_bytes exchange_buffer_bytes)
    string(JSON b GET "${alone}" workers 0 ${key})
    check(b GREATER 0)
  endforeach()
endfunction()
