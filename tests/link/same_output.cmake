# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# cmake -DFIRST=<program> -DSECOND=<program> -P same_output.cmake
#
# Fails unless both programs succeed and print the same.
foreach(which IN ITEMS FIRST SECOND)
  execute_process(COMMAND ${${which}} OUTPUT_VARIABLE ${which}_output RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "${${which}} ended with ${result}; expected 0")
  endif()
endforeach()
if(FIRST_output STREQUAL "")
  message(FATAL_ERROR "${FIRST} printed nothing; expected losses")
endif()
if(NOT FIRST_output STREQUAL SECOND_output)
  message(FATAL_ERROR "the programs print different results:\n${FIRST_output}\nand\n${SECOND_output}")
endif()
