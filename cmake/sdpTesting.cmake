# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Functions that the tests and the examples share.

find_package(doctest CONFIG QUIET)

# Open MPI refuses to run as root and to start more ranks than cores unless told otherwise; without yielding, a barrier
# of ranks that share a core takes milliseconds; the ob1 transports start faster than the default and are enough on one
# machine. Its own allocations at start-up are never freed, which is not for our leak check to report.
set(SDP_MPI_ENVIRONMENT
  OMPI_ALLOW_RUN_AS_ROOT=1
  OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  OMPI_MCA_rmaps_base_oversubscribe=1
  OMPI_MCA_hwloc_base_binding_policy=none
  OMPI_MCA_mpi_yield_when_idle=1
  OMPI_MCA_pml=ob1
  OMPI_MCA_btl=self,vader
  ASAN_OPTIONS=detect_leaks=0)

option(SDP_TEST_SEPARATE "Link the tests with sdp::compiled, so that they compile declarations only" OFF)

set(SDP_TEST_TIMEOUT 120 CACHE STRING "Seconds that a test may take if it names no time of its own")

# sdp_add_ctest(<test name> COMMAND <command...> [MPI_RANKS <n...>] [LABELS <l...>] [TIMEOUT <s>] [PROCESSORS <n>])
#
# Registers a command. With MPI_RANKS it is started once for each number of ranks, as <test name>.np<n>.
function(sdp_add_ctest name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT;PROCESSORS" "COMMAND;MPI_RANKS;LABELS")
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT ${SDP_TEST_TIMEOUT})
  endif()
  if(NOT arg_PROCESSORS)
    set(arg_PROCESSORS 1)
  endif()
  if(NOT DEFINED arg_MPI_RANKS)
    add_test(NAME ${name} COMMAND ${arg_COMMAND})
    set_tests_properties(${name} PROPERTIES
      TIMEOUT ${arg_TIMEOUT} PROCESSORS ${arg_PROCESSORS} LABELS "${arg_LABELS}")
  endif()
  foreach(ranks IN LISTS arg_MPI_RANKS)
    list(POP_FRONT arg_COMMAND program)
    add_test(NAME ${name}.np${ranks}
      COMMAND ${MPIEXEC_EXECUTABLE} ${MPIEXEC_NUMPROC_FLAG} ${ranks} ${MPIEXEC_PREFLAGS} $<TARGET_FILE:${program}>
        ${MPIEXEC_POSTFLAGS} ${arg_COMMAND})
    list(PREPEND arg_COMMAND ${program})
    set_tests_properties(${name}.np${ranks} PROPERTIES
      TIMEOUT ${arg_TIMEOUT} PROCESSORS ${ranks} LABELS "${arg_LABELS};mpi" ENVIRONMENT "${SDP_MPI_ENVIRONMENT}")
  endforeach()
endfunction()

# sdp_add_test(<name> SOURCES <files...> [LIBS <targets...>] [PER_SOURCE] [NO_MAIN] [ARGS <a...>]
#              [MPI_RANKS <n...>] [LABELS <l...>] [TIMEOUT <s>] [PROCESSORS <n>])
#
# Builds a doctest program and registers it. PER_SOURCE registers every source on its own, so that a failure names the
# file and sources run in parallel, yet doctest and the library are linked once. A program with MPI_RANKS or NO_MAIN
# brings its own main.
function(sdp_add_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "PER_SOURCE;NO_MAIN" "TIMEOUT;PROCESSORS" "SOURCES;LIBS;ARGS;MPI_RANKS;LABELS")
  string(REPLACE "." "_" target ${name})
  set(target ${target}_tests)
  add_executable(${target} ${arg_SOURCES})
  target_link_libraries(${target} PRIVATE $<IF:$<BOOL:${SDP_TEST_SEPARATE}>,sdp::compiled,sdp::sdp> doctest::doctest ${arg_LIBS})
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  if(NOT arg_NO_MAIN AND NOT DEFINED arg_MPI_RANKS)
    target_link_libraries(${target} PRIVATE sdp_test_main)
  endif()
  list(LENGTH arg_SOURCES sources)
  if(sources GREATER 2) # that each header says what it needs is tested elsewhere
    target_precompile_headers(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:<sdp/sdp.hpp>>")
  endif()

  set(properties)
  foreach(key IN ITEMS TIMEOUT PROCESSORS MPI_RANKS LABELS)
    if(DEFINED arg_${key})
      list(APPEND properties ${key} ${arg_${key}})
    endif()
  endforeach()
  if(NOT arg_PER_SOURCE)
    sdp_add_ctest(${name} COMMAND ${target} ${arg_ARGS} ${properties})
    return()
  endif()
  foreach(source IN LISTS arg_SOURCES)
    cmake_path(RELATIVE_PATH source BASE_DIRECTORY ${PROJECT_SOURCE_DIR}/tests OUTPUT_VARIABLE inner)
    cmake_path(REMOVE_EXTENSION inner OUTPUT_VARIABLE test)
    string(REPLACE "/" "." test ${test})
    sdp_add_ctest(${test} COMMAND ${target} --source-file=*/tests/${inner} ${arg_ARGS} ${properties})
    # A filter that matches nothing would succeed.
    set_tests_properties(${test} PROPERTIES FAIL_REGULAR_EXPRESSION "test cases: +0 ")
  endforeach()
endfunction()

# sdp_add_build_test(<name> TARGET <target> [EXPECT_ERROR <regex>] [LABELS <l...>] [TIMEOUT <s>])
#
# Builds a target of this build tree as a test. With EXPECT_ERROR the build has to fail, and with that message. Two
# builds in one tree would disturb each other, hence the lock.
function(sdp_add_build_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "TARGET;EXPECT_ERROR;TIMEOUT" "LABELS")
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 600)
  endif()
  add_test(NAME ${name}
    COMMAND ${CMAKE_COMMAND} "-DEXPECT_ERROR=${arg_EXPECT_ERROR}" -P ${PROJECT_SOURCE_DIR}/cmake/run_expecting.cmake --
      ${CMAKE_COMMAND} --build ${PROJECT_BINARY_DIR} --config $<CONFIG> --target ${arg_TARGET})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT} LABELS "${arg_LABELS}" RESOURCE_LOCK build_tree)
endfunction()

if(TARGET doctest::doctest)
  add_library(sdp_test_main OBJECT EXCLUDE_FROM_ALL ${PROJECT_SOURCE_DIR}/tests/support/doctest_main.cpp)
  target_compile_features(sdp_test_main PRIVATE cxx_std_20)
  target_link_libraries(sdp_test_main PRIVATE doctest::doctest)
endif()
