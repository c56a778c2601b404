# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# The target `docs`: the reference of the public headers. It fails on a wrong name in a comment or a missing snippet;
# a member without a comment is not a fault, since many need none.

find_package(Doxygen QUIET)
if(NOT Doxygen_FOUND)
  message(STATUS "sdp: there is no target docs: Doxygen was not found (Debian package: doxygen)")
  return()
endif()

set(DOXYGEN_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/docs)
set(DOXYGEN_EXAMPLE_PATH ${PROJECT_SOURCE_DIR})
set(DOXYGEN_STRIP_FROM_PATH ${PROJECT_SOURCE_DIR}/include)
set(DOXYGEN_EXCLUDE_SYMBOLS sdp::detail)
set(DOXYGEN_EXTRACT_ALL YES)
set(DOXYGEN_JAVADOC_AUTOBRIEF YES)
set(DOXYGEN_MARKDOWN_SUPPORT YES)
set(DOXYGEN_GENERATE_LATEX NO)
set(DOXYGEN_QUIET YES)
set(DOXYGEN_WARN_AS_ERROR FAIL_ON_WARNINGS)
set(DOXYGEN_FULL_PATH_NAMES YES)
doxygen_add_docs(docs ${PROJECT_SOURCE_DIR}/include/sdp)
